"""Changes in progress: long operations that go on whether or not somebody follows them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

from portico.core.model.views import ChangeView
from portico.engine.tasks import Task, Tasks
from portico.engine.troubles import INTERNAL_ERROR
from portico.errors import Failed, NotFound, PorticoError, Refused
from portico.ports.clock import Clock

log = logging.getLogger(__name__)

MAX_FINISHED_CHANGES: Final = 100
EVERY_APP: Final = "*"


@dataclass(eq=False, slots=True)
class Change:
    """One operation. Only its own task writes to it."""

    id: str
    kind: str
    subject: str
    apps: frozenset[str]
    """What it holds: no other change of these apps may begin meanwhile."""
    started: float
    state: Literal["doing", "done", "failed"] = "doing"
    lines: list[str] = field(default_factory=list)
    error: str | None = None
    exit_code: int = 0
    updated: asyncio.Event = field(default_factory=asyncio.Event)
    task: Task | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    """By app, the id of the version that was wanted when it began: a rollout that was given up
    before is not of this change."""

    def say(self, line: str) -> None:
        """Tell whoever follows; the same line twice in a row is said once."""
        if not self.lines or self.lines[-1] != line:
            self.lines.append(line)
            self._wake()

    def end(self, error: PorticoError | None) -> None:
        self.state = "failed" if error else "done"
        self.versions = {}
        if error:
            self.error, self.exit_code = str(error), error.exit_code
        self._wake()

    def _wake(self) -> None:
        self.updated.set()
        self.updated = asyncio.Event()

    def view(self) -> ChangeView:
        return ChangeView(
            id=self.id,
            kind=self.kind,
            subject=self.subject,
            state=self.state,
            started=self.started,
            lines=tuple(self.lines),
            error=self.error,
            exit_code=self.exit_code,
        )


class Changes:
    def __init__(
        self,
        tasks: Tasks,
        clock: Clock,
        note: Callable[[str, str, str], None] | None = None,
        versions: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`note` keeps an event: its kind, its subject, and a text. `versions` are those that are
        wanted now, as in `Change`.
        """
        self._tasks, self._clock, self._note = tasks, clock, note
        self._versions = versions
        self._all: dict[str, Change] = {}
        self._begun = 0
        self.end_was_seen = asyncio.Event()
        """Set whenever a follower was shown the end of a change; for whoever clears it."""

    def hold(self, apps: Iterable[str]) -> None:
        """Raise Refused if a change of any of these apps is under way, and name it."""
        wanted = frozenset(apps)
        for change in filter(_holds, self.under_way()):
            if EVERY_APP in wanted | change.apps or wanted & change.apps:
                taken = ", ".join(sorted(wanted & change.apps)) or change.subject
                raise Refused(
                    f"cannot start: {change.kind} of {taken} is running (change {change.id}); "
                    f"wait, or run `portico follow {change.id}`"
                )

    def begin(
        self,
        kind: str,
        subject: str,
        apps: Iterable[str] | None,
        work: Callable[[Change], Awaitable[None]],
    ) -> ChangeView:
        """Run `work` as a task of its own and return at once. Without `apps` it only follows what
        other changes do, and none of them keeps it from that.
        """
        if apps is not None:
            self.hold(apps)
        self._forget()
        self._begun += 1
        number = f"c{self._begun}"
        change = Change(
            number,
            kind,
            subject,
            frozenset(apps or ()),
            self._clock.now(),
            versions=self._versions(),
        )
        self._all[number] = change
        change.task = self._tasks.start(f"{kind} of {subject}", partial(self._run, change, work))
        return change.view()

    def _forget(self) -> None:
        """Where files are watched there may be a change a minute, for months."""
        ended = [number for number, change in self._all.items() if change.state != "doing"]
        for number in ended[:-MAX_FINISHED_CHANGES]:
            del self._all[number]

    def cancel_all(self, why: str) -> None:
        """End what is under way: something was asked for that makes all of it pointless."""
        for change in filter(_holds, self.under_way()):
            self.cancel(change.id, why)

    def cancel(self, name: str, why: str) -> None:
        """End it, if it is under way. What it has put in force is so still."""
        change = self._get(name)
        if change.state == "doing":
            change.end(Failed(f"{change.kind} of {change.subject} was cancelled: {why}"))
            if change.task:
                change.task.cancel()

    async def _run(self, change: Change, work: Callable[[Change], Awaitable[None]]) -> None:
        try:
            await work(change)
        except asyncio.CancelledError:
            if change.state == "doing":  # not cancelled here: the daemon leaves
                raise
        except PorticoError as error:
            change.end(error)
            if self._note:
                self._note("failed", change.subject, f"{change.kind}: {error}".splitlines()[0])
        except Exception:
            change.end(Failed(INTERNAL_ERROR))
            raise
        else:
            change.end(None)
        log.info("%s of %s: %s %s", change.kind, change.subject, change.state, change.error or "")

    def under_way(self) -> list[Change]:
        return [change for change in self._all.values() if change.state == "doing"]

    def views(self) -> list[ChangeView]:
        return [change.view() for change in self._all.values()]

    def view(self, change: str) -> ChangeView:
        return self._get(change).view()

    async def follow(self, name: str) -> AsyncIterator[ChangeView]:
        change = self._get(name)
        while True:
            updated = change.updated
            view = change.view()
            yield view
            if view.state != "doing":
                self.end_was_seen.set()
                return
            await updated.wait()

    def _get(self, name: str) -> Change:
        try:
            return self._all[name]
        except KeyError:
            raise NotFound(
                f"there is no change {name!r}; changes of an earlier daemon are not kept"
            ) from None


def _holds(change: Change) -> bool:
    """One of the whole cluster holds nothing here: what it does on this machine is another one."""
    return bool(change.apps)
