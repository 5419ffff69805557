"""One process, watched until it and everything that it has started have ended.

A child that outlives its parent goes on holding the port: the next process of that slot could
not listen. So an exit is reported only when nothing of it is left, in whatever session it is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.adapters.processes import groups, line_stamper
from portico.adapters.processes.batch import Batch
from portico.adapters.processes.ends import Ends
from portico.adapters.processes.finding import Mark, families, marked_families
from portico.adapters.processes.table import Table
from portico.adapters.processes.turns import one_at_a_time
from portico.core.model.instance import Exit, Process
from portico.ports.clock import Clock
from portico.system.proc import Stat, stat
from portico.system.programs import Child

log = logging.getLogger(__name__)

CHILDREN_TIMEOUT: Final = 60.0
"""Seconds for which the children of a process that was stopped may finish their work."""
FIRST_INTERVAL: Final = 0.05  # seconds; then half as much again, to the limit
MAX_INTERVAL: Final = 0.25
WRITE_TIMEOUT: Final = 3.0
"""Seconds in which what writes the lines of a program with their times may write the last ones."""
WRITER_PROGRAMS: Final = frozenset(  # also of instances that an older version has started
    os.fsencode(Path(line_stamper.__file__).with_name(name))
    for name in ("line_stamper.py", "stamped.py")
)
KILL_TIMEOUT: Final = 5.0
"""Seconds after SIGKILL: what is still there then waits in the kernel, for a disk perhaps."""


@dataclass(frozen=True, slots=True)
class Cleanup:
    """A process that has ended, and what is to be done with those that it left behind."""

    process: Process
    child: Child
    mark: Mark
    kill: bool
    kill_writer: bool = False
    """What writes its lines with their times, too."""
    stop_signal: signal.Signals | None = None
    """A signal for those that it was not sent to, because they are in sessions of their own."""
    known: tuple[Stat, ...] = ()
    """What was left at the look before: on its way out a process shows no environment any more,
    and so no mark."""


Cleanups = Batch[Cleanup, tuple[tuple[Stat, ...], Exit]]
"""What is left, and how the process itself has ended."""


class Watch:
    """Calls `on_exit` once, in the event loop. Takes over the pidfd of `child`."""

    def __init__(  # noqa: PLR0913 - what it watches, and by what
        self,
        process: Process,
        child: Child,
        mark: Mark,
        on_exit: Callable[[Exit], None],
        *,
        cleanups: Cleanups,
        ends: Ends,
        clock: Clock,
    ) -> None:
        self._process, self._child, self._on_exit = process, child, on_exit
        self._cleanups, self._ends, self._clock = cleanups, ends, clock
        self._loop = asyncio.get_running_loop()
        self._grace_end = 0.0
        """Until when what the process leaves behind may run, if it was signalled."""
        self._stop_signal: signal.Signals | None = None
        self._left: tuple[Stat, ...] = ()
        self._kill_start: float | None = None
        self._pause = FIRST_INTERVAL
        self._closed = False
        self.mark = mark
        ends.add(child.pidfd, self._clean_up)

    def note_signal(self, name: str) -> None:
        """A signal was sent to the whole group: let those that outlive the first one finish."""
        grace_period = 0.0 if name == "SIGKILL" else CHILDREN_TIMEOUT
        self._grace_end = self._clock.monotonic() + grace_period
        self._stop_signal = signal.Signals[name]

    def close(self) -> None:
        """Watch no longer; the process keeps running."""
        if not self._closed:
            self._closed = True
            self._ends.remove(self._child.pidfd)
            os.close(self._child.pidfd)

    def _clean_up(self) -> None:
        if self._closed:
            return
        now = self._clock.monotonic()
        if self._kill_start is None and now >= self._grace_end:
            self._kill_start, self._pause = now, FIRST_INTERVAL
        late = self._kill_start is not None and now >= self._kill_start + WRITE_TIMEOUT
        cleanup = Cleanup(
            self._process,
            self._child,
            self.mark,
            kill=self._kill_start is not None,
            kill_writer=late,
            stop_signal=self._stop_signal,
            known=self._left,
        )
        self._stop_signal = None
        self._cleanups.ask(cleanup).add_done_callback(self._on_cleanup)

    def _on_cleanup(self, job: asyncio.Future[tuple[tuple[Stat, ...], Exit]]) -> None:
        if self._closed or job.cancelled():
            return
        if error := job.exception():
            log.error(
                "cannot find processes left behind by %s", self.mark.instance, exc_info=error
            )
        self._left, ending = (self._left, Exit()) if error else job.result()
        is_empty = not error and not self._left
        kill_start = self._kill_start
        stuck = kill_start is not None and self._clock.monotonic() > kill_start + KILL_TIMEOUT
        if not is_empty and not stuck:
            self._loop.call_later(self._pause, self._clean_up)
            self._pause = min(self._pause * 1.5, MAX_INTERVAL)
            return
        if stuck:
            log.warning("a process started by %s does not exit", self.mark.instance)
        # Released only now: until then nobody else can get its number, or that of its session.
        self.close()
        self._child.release()
        self._on_exit(ending)


@one_at_a_time
def clean_up(
    cleanups: Sequence[Cleanup], others: Collection[Process]
) -> list[tuple[tuple[Stat, ...], Exit]]:
    """For each process that has ended, what is left, which is signalled or killed.

    `others` are processes of other instances.
    """
    family = families(Table(), {each.process: each.mark for each in cleanups}, others)
    return [
        (_end_family(each, _with_known(family[each.process], each)), _exit(each.child.exit_code()))
        for each in cleanups
    ]


@one_at_a_time
def kill_orphans(lost: Mapping[Mark, Process | None]) -> None:
    """Kill what is left of instances whose processes ended while nobody watched, but for the
    process that was found for one meanwhile, and what that one has started.
    """
    table = Table()
    for mark, family in marked_families(table, lost).items():
        found = lost[mark]
        kept = table.family(found) if found else []
        if mark.group and not found:
            groups.kill(mark.group)
        for each in family:
            if each not in kept:
                _signal(each, signal.SIGKILL)


def _with_known(family: list[Stat], cleanup: Cleanup) -> list[Stat]:
    found = {each.pid for each in family}
    now = ((each, stat(each.pid)) for each in cleanup.known if each.pid not in found)
    return [*family, *(seen for each, seen in now if seen and seen.started == each.started)]


def _end_family(cleanup: Cleanup, family: list[Stat]) -> tuple[Stat, ...]:
    rest = [each for each in family if each.pid != cleanup.process.pid]
    for each in rest:
        if each.ended and each.parent == os.getpid():
            with suppress(ChildProcessError):
                os.waitpid(each.pid, os.WNOHANG)
    rest = [each for each in rest if not each.ended]
    group = cleanup.mark.group
    if not rest and group:
        groups.remove(group)
    writers = [each for each in rest if not cleanup.kill_writer and is_writer(each.pid)]
    if rest and group and cleanup.kill and not writers:
        groups.kill(group)
    for process in rest:
        if process in writers:
            continue  # it ends when nobody can write to it any more
        if cleanup.kill:
            _signal(process, signal.SIGKILL)
        elif cleanup.stop_signal and process.session != cleanup.process.pid:
            _signal(process, cleanup.stop_signal)
    return tuple(rest)


def is_writer(pid: int) -> bool:
    """Whether it was started as one. Who only says so is killed a moment later."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return not WRITER_PROGRAMS.isdisjoint(words[:5])
    return False


def _signal(target: Stat, number: signal.Signals) -> None:
    """To that very process, even if its pid is reused in this moment."""
    with suppress(OSError):
        pidfd = os.pidfd_open(target.pid)
        try:
            now = stat(target.pid)
            if now and now.started == target.started:
                signal.pidfd_send_signal(pidfd, number)
        finally:
            os.close(pidfd)


def _exit(code: int | None) -> Exit:
    if code is None:
        return Exit()
    return Exit(code=code) if code >= 0 else Exit(signal=-code)
