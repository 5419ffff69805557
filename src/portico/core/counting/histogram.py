"""Times in exponential buckets, as OpenTelemetry's at scale 5: 32 from a time to its double.

Bucket `n` holds the times above `2 ** ((n - 1) / 32)` and up to `2 ** (n / 32)` milliseconds, and
`ZERO` those below one, which nginx writes as 0. So powers of two are bounds of buckets, and what
is said of a bucket is at most 1.1 % from each time in it. Two histograms are merged by adding.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Final

Histogram = dict[int, int]
"""How many times, by bucket; only those that have any."""

SCALE: Final = 5
PER_DOUBLING: Final = 1 << SCALE
ZERO: Final = -1
MAX_RELATIVE_ERROR: Final = (2 ** (1 / PER_DOUBLING) - 1) / (2 ** (1 / PER_DOUBLING) + 1)
_DOUBLINGS: Final = 12
_BOUNDS: Final = [2 ** (n / PER_DOUBLING) for n in range(_DOUBLINGS * PER_DOUBLING + 1)]
_SMALL_BUCKETS: Final = [
    ZERO,
    *(bisect_left(_BOUNDS, ms) for ms in range(1, (1 << _DOUBLINGS) + 1)),
]
"""The bucket of each whole millisecond: nginx knows no others."""


def bucket(milliseconds: int) -> int:
    if milliseconds < len(_SMALL_BUCKETS):
        return _SMALL_BUCKETS[max(milliseconds, 0)]
    halvings = milliseconds.bit_length() - _DOUBLINGS
    return bisect_left(_BOUNDS, milliseconds / (1 << halvings)) + halvings * PER_DOUBLING


def add(into: Histogram, other: Mapping[int, int]) -> None:
    for number, count in other.items():
        into[number] = into.get(number, 0) + count


def quantile(histogram: Mapping[int, int], share: float) -> float | None:
    """Milliseconds that this share of the times do not exceed (nearest rank); None of no times."""
    rank = max(1, math.ceil(share * sum(histogram.values())))
    for number in sorted(histogram):
        rank -= histogram[number]
        if rank <= 0:
            return _middle(number)
    return None


def cumulative(histogram: Mapping[int, int], doublings: Iterable[int]) -> list[int]:
    """How many times are at most `2 ** n` milliseconds, for each n: exact."""
    numbers = sorted(histogram)
    sums = [0, *accumulate(histogram[number] for number in numbers)]
    return [sums[bisect_left(numbers, n * PER_DOUBLING + 1)] for n in doublings]


def _middle(number: int) -> float:
    """As far, relatively, from the lower as from the upper bound."""
    if number == ZERO:
        return 0.0
    upper = float(2 ** (number / PER_DOUBLING))
    return upper * (1 - MAX_RELATIVE_ERROR)
