"""Sends events to where the files in force want them, beside everything else.

What waits is in the database: for each target the number of the last event that is done with. So a
daemon that dies loses none, and one that could not be sent is tried again by the next.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from functools import partial
from typing import Final

from portico.core.model.event import Event, EventFilter
from portico.core.model.notification import NotifyTarget
from portico.core.planning.notifications import (
    MAX_ATTEMPTS,
    MAX_EVENTS_IN_REQUEST,
    MAX_WAITING_EVENTS,
    document_of,
    pause_after,
    variables_of,
)
from portico.engine.engine import Engine
from portico.engine.projects import name_of
from portico.engine.tasks import Task
from portico.errors import Failed
from portico.ports.notifications import Notifier

GATHER_TIME: Final = 0.5
"""Seconds that events are gathered for one request."""
LOOK_INTERVAL: Final = 30.0
"""Seconds after which the file in force is looked at, though nothing was recorded."""


class Notifications:
    def __init__(self, engine: Engine, notifier: Notifier, host: str) -> None:
        """`host` is the name of this machine."""
        self._intent, self._state, self._events = engine.intent, engine.state, engine.events
        self._clock, self._tasks, self._troubles = engine.clock, engine.tasks, engine.troubles
        self._notifier, self._host = notifier, host
        self._added = engine.events.added
        self._tasks_of: dict[str, Task] = {}
        self._done: dict[str, int] = {}
        """As on disk, also where that is full."""
        self._dropped: dict[str, int] = {}
        """By target, events that were given up since the last that were taken."""

    async def look(self) -> None:
        """Each target has a task of its own: one that hangs holds up no other."""
        self._added = self._events.added
        desired, last = self._intent.desired, self._state.last_event()
        known = {**self._state.last_notified(), **self._done}
        if desired.apps or desired.sites:  # else no file may have been read yet
            for key in known.keys() - desired.notify.keys():
                self._forget(key)
        for key in desired.notify:
            number = known.get(key)
            if number is None:
                self._mark(key, last)  # it gets what follows
            else:
                self._done[key] = number if number <= last else 0  # of a database that was lost
            if key not in self._tasks_of or self._tasks_of[key].done():
                self._tasks_of[key] = self._tasks.start(
                    f"notification {key}", partial(self._send_all, key)
                )

    async def pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_INTERVAL):
                await self._added.wait()
        await self._clock.sleep(GATHER_TIME)

    async def _send_all(self, key: str) -> None:
        """Until nothing waits for it, or it is not wanted as it was."""
        target, failures = self._intent.desired.notify.get(key), 0
        while target and target == self._intent.desired.notify.get(key):
            batch = self._next(key, target)
            if not batch:
                return
            wrong = await self._send(key, target, batch)
            failures = failures + 1 if wrong else 0
            if wrong and failures < MAX_ATTEMPTS:
                self._report(key, f"{wrong}; {len(batch)} events wait for the next attempt")
                await self._clock.sleep(pause_after(failures, self._clock.jitter()))
                continue
            if wrong:
                why = f"after {MAX_ATTEMPTS} attempts: {wrong}"
                self._drop(key, len(batch), why, "" if target.is_machines else batch[0].project)
                failures = 0
            else:
                self._dropped.pop(key, None)
                self._troubles.resolve(_subject(key))
            self._mark(key, batch[-1].number)

    def _forget(self, key: str) -> None:
        self._done.pop(key, None)
        self._dropped.pop(key, None)
        self._state.put_notified(key, None)
        self._troubles.resolve(_subject(key))

    def _mark(self, key: str, number: int) -> None:
        self._done[key] = number
        with suppress(Failed):  # a full disk: the next daemon may send it once more
            self._state.put_notified(key, number)

    def _next(self, key: str, target: NotifyTarget) -> list[Event]:
        """The oldest of what waits; what is too much is dropped."""
        last, after = self._state.last_event(), self._done.get(key)
        wanted = self._filter(target)
        if wanted is None or after is None:
            return []
        waiting = self._state.count_events(wanted, after)
        if not waiting:
            self._done[key] = last  # what is not for it is not looked at again
            return []
        if waiting > MAX_WAITING_EVENTS:
            newest = self._state.events(wanted, MAX_WAITING_EVENTS)
            self._drop(key, waiting - MAX_WAITING_EVENTS, "too many were waiting", wanted.project)
            after = newest[0].number - 1
            self._mark(key, after)
        limit = MAX_EVENTS_IN_REQUEST if target.table.url else 1
        return self._state.events(wanted, limit, after=after)

    def _filter(self, target: NotifyTarget) -> EventFilter | None:
        """None of a project that is not in force any more: events of others are not its own."""
        if target.is_machines:
            return EventFilter(kinds=target.kinds)
        revision = self._intent.revisions.get(target.project)
        if revision is None:
            return None
        return EventFilter(project=name_of(revision), kinds=target.kinds)

    async def _send(self, key: str, target: NotifyTarget, batch: list[Event]) -> str | None:
        dropped = self._dropped.get(key, 0)
        document = document_of(batch, target=target.name, host=self._host, dropped=dropped)
        body = json.dumps(document).encode()
        if target.table.url:
            return await self._notifier.post(target.table, body, self._clock.now())
        return await self._notifier.run(target.table, body, variables_of(batch[0]))

    def _drop(self, key: str, count: int, why: str, project: str) -> None:
        self._dropped[key] = self._dropped.get(key, 0) + count
        text = f"{count} events were not sent: {why}"
        self._events.note("notify", _subject(key), text, project=project)
        self._report(key, f"{self._dropped[key]} events were not sent: {why}")

    def _report(self, key: str, sentence: str) -> None:
        self._troubles.report(_subject(key), f"{_subject(key)}: {sentence}")


def _subject(key: str) -> str:
    return f"notify {key.removeprefix('/')}"
