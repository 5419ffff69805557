"""Lines of an access log, grouped and counted. The log is `core/render/access_log.py`'s."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from portico.core.counting.counts import CLASSES, Counts
from portico.core.counting.histogram import ZERO, bucket
from portico.core.counting.table import Row, is_stream

MAX_SECONDS: Final = 1e8
MAX_KNOWN_VALUES: Final = 1 << 16
NO_TIME: Final = ZERO - 1
_Bytes = Annotated[int, Meta(ge=0, le=1 << 48)]
_Seconds = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]


class Line(msgspec.Struct, gc=False):
    """What is counted of a request. Those with a default were not in the logs of 0.1."""

    time: str
    status: Annotated[int, Meta(ge=0, le=999)]
    request_time: _Seconds
    upstream_addr: str
    upstream_response_time: str
    request_length: _Bytes = 0
    bytes_sent: _Bytes = 0
    route: str = ""
    method: str = ""
    uri: str = ""
    tls: str = ""
    connection_requests: Annotated[int, Meta(ge=0)] = 0
    """Which request of its connection it is, from 1."""


class StreamLine(Line, gc=False, kw_only=True):
    """A connection of a stream, as if it were a request."""

    request_time: _Seconds = msgspec.field(name="session_time")
    upstream_response_time: str = msgspec.field(name="upstream_connect_time")
    request_length: _Bytes = msgspec.field(name="bytes_received")


class Lines(NamedTuple):
    """What became of a piece of a log."""

    found: list[Line]
    unreadable: int


_decoder, _stream_decoder = msgspec.json.Decoder(Line), msgspec.json.Decoder(StreamLine)
_TRIES: Final = re.compile(r", | : ")


def parse(data: bytes, *, of_stream: bool = False) -> Lines:
    """`data` ends with the end of a line."""
    decoder: msgspec.json.Decoder[Any] = _stream_decoder if of_stream else _decoder
    try:
        return Lines(decoder.decode_lines(data), 0)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass  # one of them is not ours
    found: list[Line] = []
    unreadable = 0
    for line in data.splitlines():
        try:
            found.append(decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            unreadable += 1
    return Lines(found, unreadable)


class LoggedSite(msgspec.Struct, frozen=True):
    """Whose log it is."""

    project: str
    site: str
    apps: Mapping[str, str] = {}
    """By route, `""` for the site itself: the app that requests are passed to."""

    @property
    def is_stream(self) -> bool:
        return is_stream(self.site)


class Owner(msgspec.Struct, frozen=True, array_like=True):
    """An instance that has a port, or had it."""

    since: float
    """Unix time."""
    app: str
    instance: str


Owners = Mapping[int, Sequence[Owner]]
"""By port, in the order of time."""


def owner_of(address: str, time: float, owners: Owners) -> Owner | None:
    """Who had the port of `127.0.0.1:41003` at a time, which a log gives in whole seconds."""
    _, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return None
    known = owners.get(int(port), ())
    at = bisect_right(known, time + 1, key=lambda owner: owner.since)
    return known[max(at - 1, 0)] if known else None


def handshakes(lines: Iterable[Line]) -> int:
    """Of TLS: the connections that these are the first requests of."""
    return sum([line.connection_requests == 1 and line.tls != "" for line in lines])


def tally(
    lines: Iterable[Line], site: LoggedSite, owners: Owners
) -> tuple[list[tuple[Row, float, Counts]], int]:
    """What they add to which rows and when; and how many had a time that is none."""
    groups: dict[tuple[str, str, str], list[Line]] = {}
    for line in lines:
        key = line.time, line.route, line.upstream_addr
        if (group := groups.get(key)) is None:
            group = groups[key] = []
        group.append(line)
    found: list[tuple[Row, float, Counts]] = []
    unreadable = 0
    for (text, route, addresses), group in groups.items():
        if (time := ended_at(text)) is None:
            unreadable += len(group)
        else:
            found += _of_group(group, time, route, addresses, site, owners)
    return found, unreadable


def _of_group(
    group: Sequence[Line],
    time: float,
    route: str,
    addresses: str,
    site: LoggedSite,
    owners: Owners,
) -> Iterator[tuple[Row, float, Counts]]:
    every = [each for each in _TRIES.split(addresses) if each not in {"", "-"}]
    # The port of no one: nothing was tried there.
    tries = [each for each in every if not each.endswith(":1")] or every
    passed_to = [owner_of(each, time, owners) for each in tries]
    app = site.apps.get(route, "") if tries else ""

    def row(owner: Owner | None) -> Row:
        return Row(
            site.project,
            "",
            site.site,
            route,
            owner.app if owner else app,
            owner.instance if owner else "",
        )

    counts = _counts(group)
    counts.retries = max(len(tries) - 1, 0) * len(group)
    if tries:
        answers = [line.upstream_response_time for line in group]
        counts.upstream_times = Counter(map(_upstream_buckets.__getitem__, answers))
        counts.upstream_times.pop(NO_TIME, None)
        counts.upstream_time = round(sum(map(_upstream_seconds.__getitem__, answers)) * 1000)
    yield row(passed_to[-1] if passed_to else None), time, counts
    for owner in passed_to[:-1]:
        yield row(owner), time, Counts(failed=len(group))


def _counts(group: Sequence[Line]) -> Counts:
    classes = [0] * len(CLASSES)
    for status, count in Counter([line.status for line in group]).items():
        number = status // 100
        classes[number if number < len(CLASSES) else 0] += count
    seconds = [line.request_time for line in group]
    return Counts(
        requests=len(group),
        classes=classes,
        bytes_in=sum([line.request_length for line in group]),
        bytes_out=sum([line.bytes_sent for line in group]),
        time=round(sum(seconds) * 1000),
        times=Counter(map(_buckets.__getitem__, seconds)),
    )


K = TypeVar("K")
V = TypeVar("V")


class _Memo(dict[K, V]):
    """What was worked out once: times are whole milliseconds, so that few differ."""

    def __init__(self, work_out: Callable[[K], V]) -> None:
        self._work_out = work_out

    def __missing__(self, key: K) -> V:
        if len(self) >= MAX_KNOWN_VALUES:
            self.clear()
        value = self[key] = self._work_out(key)
        return value


def _last_time(text: str) -> float | None:
    """Of the last try, in seconds; None where it got no answer at all."""
    try:
        seconds = float(_TRIES.split(text)[-1])
    except ValueError:
        return None
    return seconds if 0 <= seconds <= MAX_SECONDS else None


def _upstream_bucket(text: str) -> int:
    seconds = _last_time(text)
    return NO_TIME if seconds is None else bucket(round(seconds * 1000))


_buckets = _Memo[float, int](lambda seconds: bucket(round(seconds * 1000)))
_upstream_buckets = _Memo[str, int](_upstream_bucket)
_upstream_seconds = _Memo[str, float](lambda text: _last_time(text) or 0.0)


@lru_cache(maxsize=256)
def ended_at(text: str) -> float | None:
    """Unix time, of the time of a line."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
