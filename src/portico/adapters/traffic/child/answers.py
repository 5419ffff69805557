"""What the daemon is told: rates of the last minute, and the minutes of some rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from portico.adapters.traffic.child.counter import Counter
from portico.adapters.traffic.wire import WINDOW
from portico.core.counting.counts import CLASSES, Counts
from portico.core.counting.histogram import Histogram, cumulative, quantile
from portico.core.counting.slowest import SlowPath
from portico.core.counting.table import Row

Rate = tuple[float, float | None, float | None, float | None, int]
"""Requests a second, p50, p95 and p99 in seconds, and responses with a code of 500 or above."""
TEN_MINUTES, DAY = 600, 86400
SHARES: Final = (0.5, 0.95, 0.99)
BANDS: Final = range(16)
"""Bounds are `2 ** n` milliseconds: 1 ms to 33 s."""


class Rates(msgspec.Struct):
    sites: dict[str, Rate]
    """Times as clients saw them."""
    apps: dict[str, Rate]
    """Times of the apps' own responses, and so below."""
    instances: dict[str, Rate]
    behind_bytes: int
    behind_seconds: float
    unreadable: int
    gaps: int
    unsaved: str


def rates(counter: Counter, _: Mapping[str, str]) -> Rates:
    sites: dict[str, Counts] = {}
    apps: dict[str, Counts] = {}
    instances: dict[str, Counts] = {}
    for row, counts in counter.table.recent(WINDOW):
        for name, table in ((row.site, sites), (row.app, apps), (row.instance, instances)):
            if name:
                table.setdefault(name, Counts()).add(counts)
    seconds = counter.table.seconds_of(WINDOW, counter.now())
    size, behind = counter.backlog()
    return Rates(
        {name: _rate(counts, counts.times, seconds) for name, counts in sites.items()},
        {name: _rate(counts, counts.upstream_times, seconds) for name, counts in apps.items()},
        {n: _rate(counts, counts.upstream_times, seconds) for n, counts in instances.items()},
        size,
        behind,
        counter.unreadable,
        counter.gaps,
        counter.unsaved,
    )


def series(counter: Counter, of: Mapping[str, str]) -> dict[str, object]:
    """Of the rows that have all these values."""

    def select(row: Row) -> bool:
        return all(getattr(row, name) == value for name, value in of.items())

    table = counter.table
    site = of.get("site", "")
    return {
        "minute": _counts_object(table.window(WINDOW, select)),
        "ten_minutes": _counts_object(table.window(TEN_MINUTES, select)),
        "day": _counts_object(table.window(DAY, select)),
        "minutes": [
            {"time": time, **_counts_object(counts), "bands": _bands(counts.times)}
            for time, counts in table.minutes(select)
        ],
        "routes": _routes(counter, select) if site else (),
        "slowest": [_slow(each) for each in counter.slowest.of(site)] if site else (),
    }


def _routes(counter: Counter, select: Callable[[Row], bool]) -> list[dict[str, object]]:
    found: dict[tuple[str, str], Counts] = {}
    for row, counts in counter.table.recent(TEN_MINUTES):
        if select(row):
            found.setdefault((row.route, row.app), Counts()).add(counts)
    return [
        {"route": route, "app": app, **_counts_object(counts)}
        for (route, app), counts in sorted(found.items())
    ]


def _slow(each: SlowPath) -> dict[str, object]:
    seconds, at, method, path, status = each.slowest
    return {
        "method": method,
        "path": path,
        "slowest_s": seconds,
        "at": at,
        "status": status,
        "count": each.requests,
    }


def _bands(times: Histogram) -> list[int]:
    below = cumulative(times, BANDS)
    return [b - a for a, b in itertools.pairwise((0, *below, sum(times.values())))]


def _rate(counts: Counts, times: Mapping[int, int], seconds: float) -> Rate:
    p50, p95, p99 = (_seconds(quantile(times, share)) for share in SHARES)
    return (counts.requests / seconds, p50, p95, p99, counts.errors)


def _counts_object(counts: Counts) -> dict[str, object]:
    return {
        "requests": counts.requests,
        "codes": dict(zip(CLASSES, counts.classes, strict=True)),
        "bytes_in": counts.bytes_in,
        "bytes_out": counts.bytes_out,
        "retries": counts.retries,
        "failed_tries": counts.failed,
        **{
            f"{prefix}p{round(100 * share)}_s": _seconds(quantile(times, share))
            for prefix, times in (("", counts.times), ("upstream_", counts.upstream_times))
            for share in SHARES
        },
    }


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / 1000, 6)
