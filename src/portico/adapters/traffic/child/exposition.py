"""Requests as metrics for Prometheus. The file bounds the labels: sites, routes, apps, slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from portico.adapters.traffic.child.counter import Counter, slot_of
from portico.core.counting.counts import CLASSES, Counts
from portico.core.counting.histogram import Histogram, cumulative
from portico.core.counting.table import Row, is_stream, key_of
from portico.core.model.exposition import Sample, family, head, labels_text

DOUBLINGS: Final = range(1, 16)
"""Bounds of the histograms' buckets are `2 ** n` milliseconds: 2 ms to 33 s, and exact."""


class Labels(NamedTuple):
    project: str
    site: str
    route: str
    app: str
    instance: str

    @classmethod
    def of(cls, row: Row) -> Labels:
        """An instance keeps its labels over restarts and rollouts: those of its slot."""
        app, instance = (name.rpartition("/")[2] for name in (row.app, slot_of(row.instance)))
        return cls(row.project, row.site, row.route, app, instance)


def exposition(counter: Counter) -> str:
    known: dict[Labels, Counts] = {}
    streams: dict[Labels, Counts] = {}
    for row, counts in counter.table.totals():
        to = streams if is_stream(row.site) else known
        to.setdefault(Labels.of(row), Counts()).add(counts)
    size, behind = counter.backlog()
    return "".join(
        (
            *_requests(known),
            *_times(known),
            *_connections(streams),
            *_handshakes(counter.handshakes),
            *_own_metrics(counter, size, behind),
        )
    )


def _requests(known: Mapping[Labels, Counts]) -> Iterator[str]:
    def each(value: Callable[[Counts], int]) -> Iterator[Sample]:
        return ((labels._asdict(), value(counts)) for labels, counts in known.items())

    codes = (
        ({**labels._asdict(), "code": code}, count)
        for labels, counts in known.items()
        for code, count in zip(CLASSES, counts.classes, strict=True)
        if count or code in {"2xx", "5xx"}
    )
    counter = "counter"
    yield family("portico_http_requests_total", "Requests, by class of code.", codes, kind=counter)
    for name, says, value in (
        ("request_bytes", "Bytes from clients, with headers.", lambda c: c.bytes_in),
        ("response_bytes", "Bytes to clients, with headers.", lambda c: c.bytes_out),
        ("retries", "Second and further tries of a request.", lambda c: c.retries),
        ("failed_tries", "Tries that failed, so that another one followed.", lambda c: c.failed),
    ):
        yield family(f"portico_http_{name}_total", says, each(value), kind=counter)


def _times(known: Mapping[Labels, Counts]) -> Iterator[str]:
    whole: dict[tuple[tuple[str, str], ...], Counts] = {}
    for labels, counts in known.items():
        kept = tuple((k, v) for k, v in labels._asdict().items() if k != "route")
        whole.setdefault(kept, Counts()).add(counts)
    yield from _histogram(
        "portico_http_request_duration_seconds",
        "Time from the first byte of a request to the last of its response.",
        ((dict(labels), counts.times, counts.time) for labels, counts in whole.items()),
    )
    yield from _histogram(
        "portico_http_upstream_duration_seconds",
        "Time to the response of an app or server.",
        (
            (dict(labels), counts.upstream_times, counts.upstream_time)
            for labels, counts in whole.items()
            if counts.upstream_times
        ),
    )


def _connections(known: Mapping[Labels, Counts]) -> Iterator[str]:
    """Of streams: what a request is to a site, a connection or a session of UDP is to them."""
    named = [
        (
            {
                "project": labels.project,
                "stream": key_of(labels.site),
                "app": labels.app,
                "instance": labels.instance,
            },
            counts,
        )
        for labels, counts in known.items()
    ]

    def each(value: Callable[[Counts], int]) -> Iterator[Sample]:
        return ((labels, value(counts)) for labels, counts in named)

    yield family(
        "portico_stream_connections_total",
        "Connections and sessions that have ended, by class of nginx's status.",
        (
            ({**labels, "code": code}, count)
            for labels, counts in named
            for code, count in zip(CLASSES, counts.classes, strict=True)
            if count or code in {"2xx", "5xx"}
        ),
        kind="counter",
    )
    for name, says, value in (
        ("received_bytes", "Bytes from clients.", lambda c: c.bytes_in),
        ("sent_bytes", "Bytes to clients.", lambda c: c.bytes_out),
        ("failed_tries", "Tries that failed, so that another one followed.", lambda c: c.failed),
    ):
        yield family(f"portico_stream_{name}_total", says, each(value), kind="counter")
    yield from _histogram(
        "portico_stream_session_duration_seconds",
        "Time from the first byte of a connection to its end.",
        ((labels, counts.times, counts.time) for labels, counts in named),
    )


def _handshakes(known: Mapping[str, int]) -> Iterator[str]:
    yield family(
        "portico_nginx_handshakes_total",
        "TLS connections of clients that have sent a request.",
        (({"site": site}, count) for site, count in known.items()),
        kind="counter",
    )


def _histogram(
    name: str, says: str, samples: Iterator[tuple[Mapping[str, str], Histogram, int]]
) -> Iterator[str]:
    begun = False
    for labels, times, milliseconds in samples:
        if not begun:
            begun = True
            yield head(name, says, "histogram")
        count = sum(times.values())
        for doublings, below in zip(DOUBLINGS, cumulative(times, DOUBLINGS), strict=True):
            bound = f"{2**doublings / 1000!r}"
            yield f"{name}_bucket{labels_text({**labels, 'le': bound})} {below}\n"
        yield f"{name}_bucket{labels_text({**labels, 'le': '+Inf'})} {count}\n"
        yield f"{name}_sum{labels_text(labels)} {milliseconds / 1000!r}\n"
        yield f"{name}_count{labels_text(labels)} {count}\n"


def _own_metrics(counter: Counter, size: int, behind: float) -> Iterator[str]:
    for name, says, value in (
        ("behind_bytes", "Bytes of access logs that are not counted yet.", size),
        (
            "behind_seconds",
            "Age of the last request counted, while others wait to be counted.",
            round(behind, 3),
        ),
    ):
        yield family(f"portico_access_log_{name}", says, [({}, value)])
    for name, says, count in (
        ("unreadable_lines", "Lines that could not be counted.", counter.unreadable),
        ("gaps", "Times that lines may have been lost.", counter.gaps),
    ):
        yield family(f"portico_access_log_{name}_total", says, [({}, count)], kind="counter")
