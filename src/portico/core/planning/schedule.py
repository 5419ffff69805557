"""When a cron expression is due. A moment that was missed is not made up for.

Days on which clocks are changed are treated as Debian's cron treats them: a fixed time that does
not exist comes right after, one that exists twice comes once, and `*` goes on counting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Final

MAX_LATENESS: Final = 60.0
"""Seconds. What is due longer was missed: the machine slept, or its clock was set."""


@dataclass(frozen=True, slots=True)
class Timer:
    """A schedule that is looked at now and then; times are seconds since 1970."""

    expression: str
    looked: float
    due: float | None
    """None is never."""


def set_timer(expression: str, now: float, zone: tzinfo) -> Timer:
    return Timer(expression, now, next_moment(expression, now, zone))


def advance(timer: Timer, now: float, zone: tzinfo) -> tuple[Timer, bool]:
    """The timer from now on, and whether it is due. A clock that was set back sets it anew."""
    if now < timer.looked:
        return set_timer(timer.expression, now, zone), False
    if timer.due is None or now < timer.due:
        return replace(timer, looked=now), False
    return set_timer(timer.expression, now, zone), now <= timer.due + MAX_LATENESS


def next_moment(expression: str, after: float, zone: tzinfo) -> float | None:
    """The next one after a moment; None for what never comes, as 30 February."""
    from cronsim import CronSim  # noqa: PLC0415 - only where there is a schedule

    found = next(CronSim(expression, datetime.fromtimestamp(after, zone)), None)
    return None if found is None else found.timestamp()
