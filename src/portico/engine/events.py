"""What was done and why: recorded, and shown to whoever follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from portico.core.model.event import Event, EventFilter, Requester
from portico.ports.clock import Clock
from portico.ports.state import State

DAYS_KEPT: Final = 90
DROP_INTERVAL: Final = 3600.0
_DAY: Final = 86400.0
_BATCH: Final = 200


class Events:
    def __init__(self, state: State, clock: Clock, project_of: Callable[[str], str]) -> None:
        """`project_of` names the project that a subject is of, or nothing."""
        self._state, self._clock, self._project_of = state, clock, project_of
        self._is_closed = False
        self.added = asyncio.Event()
        """Set when there are more; each time another one."""

    def note(self, kind: str, subject: str, text: str, *, project: str = "") -> None:
        self.record(self.event(kind, subject, text, project=project))

    def note_request(self, kind: str, subject: str, by: Requester, text: str = "") -> None:
        """Somebody asked for it; `text` says more of what."""
        said = ", ".join(filter(None, (text, f"by {by}")))
        self.record(self.event(kind, subject, said, uid=by.uid, command=by.command))

    def event(
        self,
        kind: str,
        subject: str,
        text: str,
        *,
        project: str = "",
        uid: int | None = None,
        command: str = "",
    ) -> Event:
        """One of this moment, not recorded yet."""
        of = project or self._project_of(subject)
        return Event(self._clock.now(), kind, subject, text, of, uid, command)

    def record(self, event: Event) -> None:
        self._state.add_event(event)
        self._wake()

    def newest(self, wanted: EventFilter, limit: int) -> list[Event]:
        """Oldest first."""
        return self._state.events(wanted, limit)

    async def follow(self, wanted: EventFilter, after: int) -> AsyncIterator[Event]:
        """Those that follow the one of that number, and whatever is added, until `close`."""
        while not self._is_closed:
            added, last = self.added, self._state.last_event()
            after = after if after <= last else 0  # of a database that was lost since
            found = self._state.events(wanted, _BATCH, after=after)
            for each in found:
                yield each
            after = found[-1].number if len(found) == _BATCH else last
            if len(found) < _BATCH:
                await added.wait()

    async def drop_old(self) -> None:
        self._state.drop_events(self._clock.now() - DAYS_KEPT * _DAY)

    async def pause(self) -> None:
        await self._clock.sleep(DROP_INTERVAL)

    def close(self) -> None:
        """End what follows: the daemon exits."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        self.added.set()
        self.added = asyncio.Event()
