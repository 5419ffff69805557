"""Makes the changes that go over all machines of the cluster, each when it is this machine's turn.

All that counts is in the store: a new daemon continues from there, and so do the other machines
where this one is lost. Runs beside the loop, one act after the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Final, Literal, Protocol, assert_never

from msgspec.structs import replace

from portico.core.model.shared import (
    CHANGE_KEY,
    SWITCHES_KEY,
    TURN_KEY,
    Head,
    Holder,
    encode,
    head_key,
    progress_key,
    revision_key,
)
from portico.core.model.shared_change import Progress, SharedChange, SharedFile
from portico.core.model.snapshot import ABSENT, MAX_WRITES, Compare, Delete, Put, Write
from portico.core.planning.switches import MissedSwitches, missed_switches, switches_after
from portico.core.planning.turns import (
    Act,
    CountSwitches,
    DropTurn,
    EndChange,
    MakeChange,
    Prepare,
    TakeFile,
    TakeSwitches,
    TakeTurn,
    WriteBack,
    next_act,
)
from portico.engine.cluster.change_state import SWITCHES_SUBJECT, ChangeState
from portico.engine.cluster.shared_files import SharedFiles
from portico.engine.cluster.store_follower import Position
from portico.engine.troubles import INTERNAL_ERROR, Troubles
from portico.errors import PorticoError
from portico.ports.clock import Clock
from portico.ports.store import SessionEnded, StoreUnavailable

log = logging.getLogger(__name__)

POLL_INTERVAL: Final = 1.0
REST_INTERVAL: Final = 30.0
"""Where nothing is under way: what changes is known at once."""
LINES_INTERVAL: Final = 0.5
MAX_LINES: Final = 40
MAX_LINE_LENGTH, MAX_REASON_LENGTH = 300, 4000
TURN_SUBJECT: Final = "turn of this machine"
Say = Callable[[str], None]


class TurnEnded(Exception):
    """What is done needs the turn, and this machine does not have it any more."""


class LocalWork(Protocol):
    """What one machine does of a shared change. All raise PorticoError."""

    async def check(self, change: SharedChange, file: SharedFile | None) -> None:
        """Whether it can be made here. Changes nothing."""

    async def make(
        self, change: SharedChange, file: SharedFile | None, stopped: Collection[str], say: Say
    ) -> None:
        """Return when all of it is served. `file` is the one that comes into force, if any, with
        these of its apps stopped.
        """

    async def take(
        self, project: str, file: SharedFile | None, stopped: Collection[str], say: Say
    ) -> None:
        """The same of what is in force in the cluster. Without a file the project is ended."""

    async def make_up(self, missed: MissedSwitches, say: Say) -> None:
        """Do what was done on the other machines. What is not known here is left out."""


class Turns:
    def __init__(
        self,
        change_state: ChangeState,
        files: SharedFiles,
        work: LocalWork,
        clock: Clock,
        troubles: Troubles,
    ) -> None:
        self._shared, self._follower = change_state.shared, change_state.shared.follower
        self._change_state, self._files, self._work = change_state, files, work
        self._clock, self._troubles = clock, troubles
        self._next_update, self._interval = change_state.moved, POLL_INTERVAL
        self._result: Progress | None = None
        """Of a change that was made here, until the others know."""
        self._written_position: Position = (0, ABSENT)
        """Of what was written last: what is known must not be older."""

    async def look(self) -> None:
        """Do all that there is to do."""
        is_known, self._interval = True, POLL_INTERVAL
        while is_known:
            self._next_update = self._change_state.moved
            if self._follower.trouble or self._follower.position < self._written_position:
                return
            self._change_state.is_changing = False
            self._troubles.resolve(TURN_SUBJECT)
            state = self._change_state.state()
            act = next_act(state, self._change_state.own())
            if act is None:
                self._interval = REST_INTERVAL if state.is_at_rest else POLL_INTERVAL
                return
            try:
                is_known = await self._perform(act)
            except (StoreUnavailable, SessionEnded):
                return  # what follows the store says so, and this is tried again

    async def pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._interval):
                await self._next_update.wait()

    async def _perform(self, act: Act) -> bool:  # noqa: PLR0911 - one for each act
        """Whether it was done. If not, something has changed that is not known yet."""
        match act:
            case Prepare(change):
                return await self._prepare(change)
            case TakeTurn():
                return await self._take_turn()
            case DropTurn():
                return await self._write([self._as_known(TURN_KEY)], [Delete(TURN_KEY)])
            case MakeChange(change):
                return await self._make(change)
            case TakeFile():
                return await self._take(act)
            case TakeSwitches():
                return await self._take_switches(act)
            case CountSwitches(change):
                self._change_state.count_switches(change)
                return True
            case WriteBack(change):
                back = Progress(change=change.id, state="back")
                return await self._write([self._as_known(CHANGE_KEY)], [self._put_progress(back)])
            case EndChange():
                return await self._end(act)
            case _:
                assert_never(act)

    async def _prepare(self, change: SharedChange) -> bool:
        progress = Progress(change=change.id, state="ready")
        try:
            await self._work.check(change, await self._file_of(change))
        except Exception as error:  # noqa: BLE001 - it must end for the others, too
            why = _reason(error, f"check of {change.verb} of {change.subject}")
            progress = replace(progress, state="refused", why=why[:MAX_REASON_LENGTH])
        return await self._write([self._as_known(CHANGE_KEY)], [self._put_progress(progress)])

    async def _take_turn(self) -> bool:
        if not (session := self._shared.session.number):
            raise SessionEnded
        free = [Compare(TURN_KEY, ABSENT), self._as_known(CHANGE_KEY)]
        taken = Put(TURN_KEY, encode(Holder(machine=self._shared.machine)), session)
        return await self._write(free, [taken])

    # A change

    async def _make(self, change: SharedChange) -> bool:
        if self._result is None or self._result.change != change.id:
            begun = Progress(change=change.id, state="changing")
            if not await self._write(self._in_turn(), [self._put_progress(begun)]):
                return False
            self._result = await self._make_in_turn(change, begun)
        if self._result is None:
            return False
        return await self._write(
            self._in_turn(), [self._put_progress(self._result), Delete(TURN_KEY)]
        )

    async def _make_in_turn(self, change: SharedChange, begun: Progress) -> Progress | None:
        """None where the turn has ended before it was done."""
        result = None
        with self._until_turn_ends(f"{change.verb} of {change.subject}"):
            async with self._in_own_turn(begun) as lines:
                result = await self._do_work(change, begun, lines)
        return result

    async def _do_work(self, change: SharedChange, begun: Progress, lines: list[str]) -> Progress:
        try:
            file = await self._file_of(change)
            is_new = file is not None and change.project not in self._change_state.own().applied
            stopped = (
                self._change_state.stopped_apps(change.project) if is_new else frozenset[str]()
            )
            self._change_state.begin(change.project, change.revision)
            self._shared.is_waited_for = True
            await self._work.make(change, file, stopped, lines.append)
            self._change_state.made = change
            if is_new:
                self._change_state.note_begun(change.project)
            self._change_state.finish(change.project, change.revision)
        except Exception as error:  # noqa: BLE001 - as above
            why = _reason(error, f"{change.verb} of {change.subject}")
            return _final_progress(begun, "failed", lines, why)
        return _final_progress(begun, "done", lines)

    @contextmanager
    def _until_turn_ends(self, subject: str) -> Iterator[None]:
        """Leave it where the turn ends. The machine keeps what it has of it, and replaces no
        more instances until it has a turn again (`ChangeState.may_replace`).
        """
        try:
            yield
        except* TurnEnded:
            self._troubles.report(
                TURN_SUBJECT,
                f"{subject}: stopped on this machine because its turn has ended; it continues or "
                "is rolled back when the cluster's store is available",
            )

    @asynccontextmanager
    async def _in_own_turn(self, begun: Progress | None = None) -> AsyncIterator[list[str]]:
        """Lines, which the others are shown with what was begun. Ends with TurnEnded, in a group,
        where the turn does. No write of it is ever cut short.
        """
        lines, ended = list[str](), asyncio.Event()

        async def publish() -> None:
            shown = 0
            while not ended.is_set():
                if not self._change_state.fence:
                    raise TurnEnded
                if begun and len(lines) > shown:
                    shown = len(lines)
                    with suppress(StoreUnavailable, SessionEnded):
                        await self._write(
                            self._in_turn(), [self._put_progress(_with_lines(begun, lines))]
                        )
                with suppress(TimeoutError):
                    async with asyncio.timeout(LINES_INTERVAL):
                        await ended.wait()

        self._change_state.is_changing = True
        async with asyncio.TaskGroup() as group:
            group.create_task(publish())
            try:
                yield lines
            finally:
                ended.set()

    async def _end(self, act: EndChange) -> bool:
        change = act.change
        writes: list[Write] = [Put(CHANGE_KEY, encode(replace(change, end=act.how, why=act.why)))]
        if act.how == "done" and change.project:
            head = Head(number=change.revision, served=change.revision)
            writes += [
                Put(head_key(change.project), encode(head)),
                *self._outdated_revisions(change),
            ]
        if act.how == "done":
            switches = switches_after(self._change_state.switches, change)
            writes.append(Put(SWITCHES_KEY, encode(switches)))
        has_turn = self._change_state.own().has_turn
        writes += [Delete(TURN_KEY)] if has_turn else []
        turn = self._as_known(TURN_KEY) if has_turn else Compare(TURN_KEY, ABSENT)
        return await self._write([self._as_known(CHANGE_KEY), turn], writes)

    def _outdated_revisions(self, change: SharedChange) -> list[Delete]:
        """The revisions before the one that comes into force."""
        numbers = self._change_state.revisions(change.project)
        before = [each for each in numbers if not change.revision or each < change.revision]
        return [Delete(revision_key(change.project, each)) for each in before[:-1][:MAX_WRITES]]

    async def _file_of(self, change: SharedChange) -> SharedFile | None:
        if not change.revision:
            return None
        return await self._files.file(change.project, change.revision)

    # What is in force already

    async def _take(self, act: TakeFile) -> bool:
        subject, is_taken = f"{act.project} of the cluster", False
        with self._until_turn_ends(subject):
            async with self._in_own_turn():
                is_taken = await self._take_file(act, subject)
        return is_taken

    async def _take_file(self, act: TakeFile, subject: str) -> bool:
        project, number = act.project, act.number
        is_new = project not in self._change_state.own().applied
        try:
            file = await self._files.file(project, number) if number else None
            self._change_state.begin(project, number)
            stopped = self._change_state.stopped_apps(project)
            await self._work.take(project, file, stopped, partial(log.info, "%s: %s", project))
            if is_new:
                self._change_state.note_begun(project)
            self._change_state.finish(project, number)
        except Exception as error:  # noqa: BLE001 - others wait for the turn
            why = f"cannot put {project} in force as in the cluster: {_reason(error, subject)}"
            self._change_state.unusable[act] = why
            self._troubles.report(subject, f"{why}; `portico up` without a file tries again")
        else:
            self._troubles.resolve(subject)
        return True

    async def _take_switches(self, act: TakeSwitches) -> bool:
        is_taken = False
        with self._until_turn_ends(SWITCHES_SUBJECT):
            async with self._in_own_turn():
                is_taken = await self._make_up_switches(act)
        return is_taken

    async def _make_up_switches(self, act: TakeSwitches) -> bool:
        own, shared = self._change_state.own_switches, self._change_state.switches
        try:
            await self._work.make_up(missed_switches(own, shared), partial(log.info, "%s"))
            self._change_state.take_switches(shared)
        except Exception as error:  # noqa: BLE001 - as above
            reason = _reason(error, SWITCHES_SUBJECT)
            why = f"cannot repeat here the {SWITCHES_SUBJECT}: {reason}"
            self._change_state.unusable[act] = why
            self._troubles.report(
                SWITCHES_SUBJECT, f"{why}; `portico up` without a file tries again"
            )
        else:
            self._troubles.resolve(SWITCHES_SUBJECT)
        return True

    # Writing

    def _as_known(self, key: str) -> Compare:
        item = self._follower.item(key)
        return Compare(key, item.revision if item else ABSENT)

    def _in_turn(self) -> Sequence[Compare]:
        """True as long as the turn is this daemon's, and the change has not ended. Raises
        SessionEnded where it is not for certain.
        """
        if not (fence := self._change_state.fence):
            raise SessionEnded
        return [Compare(TURN_KEY, created=fence), self._as_known(CHANGE_KEY)]

    def _put_progress(self, progress: Progress) -> Put:
        return Put(progress_key(self._shared.machine), encode(progress))

    async def _write(self, compares: Sequence[Compare], writes: Sequence[Write]) -> bool:
        written = await self._shared.transaction(compares, writes)
        self._written_position = max(self._written_position, written or (0, ABSENT))
        return written is not None


def _with_lines(progress: Progress, lines: Sequence[str]) -> Progress:
    last = tuple(line[:MAX_LINE_LENGTH] for line in lines[-MAX_LINES:])
    return replace(progress, lines=last, count=len(lines))


def _reason(error: Exception, subject: str) -> str:
    """For operators; the details of one that was not foreseen are in the log."""
    if isinstance(error, PorticoError):
        return str(error)
    log.error("internal error in %s", subject, exc_info=error)
    return INTERNAL_ERROR


def _final_progress(
    begun: Progress, state: Literal["done", "failed"], lines: Sequence[str], why: str = ""
) -> Progress:
    return replace(_with_lines(begun, lines), state=state, why=why[:MAX_REASON_LENGTH])
