"""The slowest requests of each site in the last hour, by path, in bounded memory."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Final, NamedTuple

from portico.core.counting.lines import Line, ended_at

WIDTH: Final = 600
SLOTS: Final = 6
"""So many times `WIDTH` seconds are remembered, and what is under way."""
MAX_PATHS: Final = 10
"""Requests of a slot."""
MAX_SITES: Final = 200
MAX_PATH_LENGTH: Final = 120
MAX_SEGMENTS: Final = 20
_SWITCHING_PROTOCOLS: Final = 101
"""A WebSocket: its time is how long it was open."""
_ID: Final = re.compile(r"[0-9]+|(?=.*[0-9])([0-9a-fA-F-]{8,}|[A-Za-z0-9_=.~-]{20,})")


class SlowRequest(NamedTuple):
    seconds: float
    at: float
    """When it ended, Unix time."""
    method: str
    path: str
    """Without query; what looks like a number or a key in it is `:id`."""
    status: int


class SlowPath(NamedTuple):
    slowest: SlowRequest
    requests: int
    """How many of the slowest requests were of this method and path."""


class SlowestRequests:
    """Only of the slowest requests of each piece of a log is the path looked at."""

    def __init__(self) -> None:
        self._sites: dict[str, dict[int, list[SlowRequest]]] = {}
        """By slot."""

    def add(self, site: str, lines: Iterable[Line], now: float) -> None:
        if site not in self._sites and len(self._sites) >= MAX_SITES:
            return
        slots = self._sites.setdefault(site, {})
        few = heapq.nlargest(
            MAX_PATHS,
            (line for line in lines if line.status != _SWITCHING_PROTOCOLS),
            key=attrgetter("request_time"),
        )
        for line in few:
            at = min(ended_at(line.time) or now, now)
            number = int(at) // WIDTH
            if number >= int(now) // WIDTH - SLOTS:
                path = normal_path(line.uri)
                request = SlowRequest(line.request_time, at, line.method, path, line.status)
                slots[number] = heapq.nlargest(MAX_PATHS, [*slots.get(number, ()), request])

    def forget(self, now: float) -> None:
        """What is older than an hour, or would be of the future since the clock was set back."""
        known = range(int(now) // WIDTH - SLOTS, int(now) // WIDTH + 1)
        for site, slots in tuple(self._sites.items()):
            kept = {number: found for number, found in slots.items() if number in known}
            if any(kept.values()):
                self._sites[site] = kept
            else:
                del self._sites[site]

    def of(self, site: str) -> list[SlowPath]:
        """Slowest first."""
        paths: dict[tuple[str, str], list[SlowRequest]] = {}
        for request in self._requests(site):
            paths.setdefault((request.method, request.path), []).append(request)
        return sorted((SlowPath(max(each), len(each)) for each in paths.values()), reverse=True)

    def _requests(self, site: str) -> Iterator[SlowRequest]:
        for found in self._sites.get(site, {}).values():
            yield from found


def normal_path(uri: str) -> str:
    """`/items/:id` of `/items/4711?page=2`."""
    segments = uri.partition("?")[0].split("/", MAX_SEGMENTS)
    named = (":id" if _ID.fullmatch(each) else each for each in segments)
    return "/".join(named)[:MAX_PATH_LENGTH]
