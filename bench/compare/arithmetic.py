"""The arithmetic of the page: medians, ranges, ratios, growth, and when a run is no evidence."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_LOAD = 0.3
"""Share of the processors in use while nothing of the run is started."""
MAX_STEAL = 0.02
"""Share of the machine's time that its host took away."""
MAX_SPREAD = 0.15
"""Of the repetitions of one measurement, as the median over all measurements."""


@dataclass(frozen=True, slots=True)
class Range:
    """What the repetitions of one measurement gave."""

    median: float
    low: float
    high: float
    count: int

    @property
    def spread(self) -> float:
        """From the lowest to the highest, as a share of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


def range_of(values: Sequence[float]) -> Range:
    """ValueError if there are none."""
    if not values:
        raise ValueError("no values")
    return Range(statistics.median(values), min(values), max(values), len(values))


def paired_ratio(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Range | None:
    """Ours by theirs, each round with itself: what slows a whole round down is not in it."""
    ratios = [ours[number] / theirs[number] for number in ours if theirs.get(number)]
    return range_of(ratios) if ratios else None


def exponent(points: Sequence[tuple[float, float]]) -> float | None:
    """By which power of the size the cost grows: the slope of a straight line through the
    logarithms. 1 is linear. None for fewer than two sizes.
    """
    logs = [(math.log(size), math.log(cost)) for size, cost in points if size > 0 and cost > 0]
    if len({x for x, _ in logs}) < 2:
        return None
    return statistics.linear_regression([x for x, _ in logs], [y for _, y in logs]).slope


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank. 0 if there are none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def doubts(load: float, steal: float, spreads: Sequence[float]) -> list[str]:
    """Why a run is no evidence; empty if it is.

    `load` is the share of the processors that other work uses, `steal` one of the whole run.
    """
    found = []
    if load > MAX_LOAD:
        found.append(f"other work used {load:.0%} of the processors before or after")
    if steal > MAX_STEAL:
        found.append(f"the machine's host took away {steal:.1%} of its time")
    typical = statistics.median(spreads) if spreads else 0.0
    if typical > MAX_SPREAD:
        found.append(f"repetitions differ by {typical:.0%} of their median, typically")
    if not spreads:
        found.append("nothing was repeated")
    return found
