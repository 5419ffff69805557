"""What is counted of requests, and the few bytes in which it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from portico.core.counting.histogram import Histogram, add

CLASSES: Final = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")
"""Of status codes. nginx writes codes below 100 where a request made no sense."""
_ERROR: Final = CLASSES.index("5xx")


class Counts(msgspec.Struct):
    """Of some requests. Bytes are those on the network, with headers; times are milliseconds."""

    requests: int = 0
    classes: list[int] = msgspec.field(default_factory=lambda: [0] * len(CLASSES))
    bytes_in: int = 0
    bytes_out: int = 0
    retries: int = 0
    """Tries after the first, of requests that were answered here."""
    failed: int = 0
    """Tries that got no usable answer here, so that another one followed."""
    time: int = 0
    upstream_time: int = 0
    times: Histogram = msgspec.field(default_factory=dict)
    """From the first byte of the request to the last of the response."""
    upstream_times: Histogram = msgspec.field(default_factory=dict)
    """Of the last try, where the request was passed on."""

    @property
    def errors(self) -> int:
        return self.classes[_ERROR]

    def add(self, other: Counts) -> None:
        self.requests += other.requests
        self.classes = [a + b for a, b in zip(self.classes, other.classes, strict=True)]
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.retries += other.retries
        self.failed += other.failed
        self.time += other.time
        self.upstream_time += other.upstream_time
        add(self.times, other.times)
        add(self.upstream_times, other.upstream_times)


Packed = bytes
"""Counts as they are kept, about a tenth of the size; empty for none."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[list[int]]).decode


def pack(counts: Counts) -> Packed:
    numbers = [
        counts.requests,
        *counts.classes,
        counts.bytes_in,
        counts.bytes_out,
        counts.retries,
        counts.failed,
        counts.time,
        counts.upstream_time,
    ]
    return _encode([numbers, *_steps(counts.times), *_steps(counts.upstream_times)])


def unpack(packed: Packed) -> Counts:
    """Raises ValueError for bytes that `pack` did not make."""
    if not packed:
        return Counts()
    numbers, steps, counts, upstream_steps, upstream_counts = _decode(packed)
    requests, *classes, bytes_in, bytes_out, retries, failed, time, upstream_time = numbers
    return Counts(
        requests,
        classes,
        bytes_in,
        bytes_out,
        retries,
        failed,
        time,
        upstream_time,
        _histogram(steps, counts),
        _histogram(upstream_steps, upstream_counts),
    )


def merge(*every: Packed) -> Packed:
    found = [each for each in every if each]
    return found[0] if len(found) == 1 else pack(total(found)) if found else b""


def total(every: Iterable[Packed]) -> Counts:
    whole = Counts()
    for each in every:
        if each:
            whole.add(unpack(each))
    return whole


def _steps(histogram: Histogram) -> tuple[list[int], list[int]]:
    """Distances between the buckets, which are small, and their counts."""
    numbers = sorted(histogram)
    steps = [b - a for a, b in zip([0, *numbers], numbers, strict=False)]
    return steps, [histogram[number] for number in numbers]


def _histogram(steps: list[int], counts: list[int]) -> Histogram:
    histogram: Histogram = {}
    number = 0
    for step, count in zip(steps, counts, strict=True):
        number += step
        histogram[number] = count
    return histogram
