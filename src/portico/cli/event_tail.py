"""New events as they come: of this machine by a stream of its daemon, of each other machine of the
cluster by a question a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import takewhile
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Final

from portico.client.client import EVENTS_PAGE
from portico.core.model import verbs
from portico.errors import Failed, NotFound, PorticoError, Unreachable
from portico.system.waiting import pause

if TYPE_CHECKING:
    from portico.client.client import Client
    from portico.core.model.views import EventView

    Source = Iterator[EventView | str]
    """Events, and sentences about the daemons that they are from."""

RECONNECT_INTERVAL: Final = 0.5
"""Seconds between two looks for the next daemon."""
POLL_INTERVAL: Final = 1.0
"""Seconds between two questions to another machine."""
JOIN_INTERVAL: Final = 5.0
"""Seconds between two looks for machines that have joined."""
REPORTED_FAILURES: Final = 2
"""Questions in a row without an answer, after which this is reported."""
MAX_EVENTS: Final = 1_000_000
"""As many as are shown at most."""
FIRST_PAGE: Final = 10
"""Events: what a second has is rarely more."""

Cursor = tuple[float, int]
"""The latest time and the highest number of a machine's events that are known. The number counts,
because a clock may be set back; the time where a machine has lost its events and counts anew.
"""
FIRST_CURSOR: Final[Cursor] = (0.0, 0)


def cursor_with(cursor: Cursor | None, event: EventView) -> Cursor:
    """Also behind this event."""
    at, number = cursor or FIRST_CURSOR
    return max(at, event.at), max(number, event.number)


class EventTail:
    def __init__(self, client: Client, own: str, wanted: Mapping[str, object]) -> None:
        """`own` is the name of this machine, empty where it is alone; `wanted` are words of the
        queries.
        """
        self._client, self._own, self._wanted = client, own, wanted
        self._found = SimpleQueue["EventView | str | PorticoError"]()

    def newest(self, machine: str) -> Cursor | None:
        """Of any kind, None without an answer. To be asked before a list is, so that what happens
        between the two is shown.
        """
        with suppress(Failed):
            return self._newest(machine)
        return None

    def follow(self, cursors: Mapping[str, Cursor | None], *, with_joined: bool) -> Source:
        """Of these machines, and of those that join; without a cursor from the first answer on.
        Never ends. Raises what this daemon refuses.
        """
        for machine, after in cursors.items():
            if machine == self._own:
                self._start(self._of_this(after or FIRST_CURSOR))
            else:
                self._start(self._of_other(machine, after))
        if with_joined:
            known = {self._own, *cursors}
            Thread(target=self._follow_joined, args=(known,), daemon=True).start()
        while True:
            each = self._found.get()
            if isinstance(each, PorticoError):
                raise each
            yield each

    def _start(self, source: Source) -> None:
        Thread(target=self._copy, args=(source,), daemon=True).start()

    def _copy(self, source: Source) -> None:
        try:
            for each in source:
                self._found.put(each)
        except PorticoError as error:
            self._found.put(error)

    def _of_this(self, after: Cursor) -> Source:
        """From this daemon and the next ones."""
        number, is_said = after[1], False
        while True:
            try:
                for each in self._client.stream(
                    verbs.FOLLOW_EVENTS, lambda: None, after=number, **self._wanted
                ):
                    yield each
                    number, is_said = each.number, False
            except Unreachable:
                pass
            if not self._client.answers() and not is_said:
                yield "the daemon is not running; waiting for the next one"
                is_said = True
            pause(RECONNECT_INTERVAL)

    def _of_other(self, machine: str, after: Cursor | None) -> Source:
        failures = 0 if after else REPORTED_FAILURES  # the list has reported it
        while True:
            try:
                after = after or self._newest(machine)
                found = self._newer(machine, after)
            except Unreachable:  # this machine's daemon, whose stream reports it
                found = []
            except (Failed, NotFound) as error:
                failures, found = failures + 1, []
                if failures == REPORTED_FAILURES:
                    yield str(error)
            else:
                if failures >= REPORTED_FAILURES:
                    yield f"machine {machine} answers"
                failures = 0
            for each in reversed(found):
                after = max((after or FIRST_CURSOR)[0], each.at), each.number
                yield each
            pause(POLL_INTERVAL)

    def _follow_joined(self, known: set[str]) -> None:
        while True:
            pause(JOIN_INTERVAL)
            with suppress(PorticoError):
                for each in self._client.ask(verbs.STATUS).neighbours:
                    if each.name not in known:
                        known.add(each.name)
                        self._start(self._of_other(each.name, None))

    def _newer(self, machine: str, after: Cursor) -> list[EventView]:
        """Those behind the cursor, newest first."""

        def is_new(event: EventView) -> bool:
            return event.number > after[1] or event.at > after[0]

        found: list[EventView] = []
        size = FIRST_PAGE
        while True:
            before = found[-1].number if found else None
            page = self._client.ask(
                verbs.EVENTS, count=size, before=before, machine=machine, **self._wanted
            )
            new = list(takewhile(is_new, page))
            found += new
            is_last = len(new) < size or len(found) >= MAX_EVENTS
            if is_last or (before is not None and new[-1].number >= before):
                return found
            size = EVENTS_PAGE

    def _newest(self, machine: str) -> Cursor:
        found = self._client.ask(verbs.EVENTS, count=1, machine=machine or None)
        return (found[0].at, found[0].number) if found else FIRST_CURSOR
