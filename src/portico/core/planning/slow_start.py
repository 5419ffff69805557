"""Slow start: what becomes ready beside others gets its share of the requests little by little.

The weight grows in few steps, because nginx forgets what it knew of a peer when its weight
changes (docs/decisions/0001). All steps are on whole seconds, so that an app has one new answer
a second at most, however many of its instances grow.

It is meant for one among many. While most are new, after a first start or late in a rollout, all
have their whole weight: the few others could not carry what is kept from the new ones.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import ceil, floor
from typing import Final

from portico.core.model.instance import Instance, InstanceState

MAX_STEPS: Final = 5


def share(instance: Instance, since: Sequence[float], slow_start: float, now: float) -> float:
    """The part of its weight that an instance has now, from 0.1 to 1.

    `since` are the moments, in their order, in which all that serve became so, itself among them.
    Those count as warm that were ready for all of `slow_start` when it became so; at least half
    must be.
    """
    if slow_start <= 0 or instance.state is not InstanceState.READY:
        return 1.0
    warm = bisect_right(since, instance.since, key=lambda moment: moment + slow_start)
    if 2 * warm < len(since):
        return 1.0
    steps = _steps(slow_start)
    done = sum(step <= _age(instance, now) for step in steps)
    return (done + 0.5) / len(steps) if done < len(steps) else 1.0


def next_step(instance: Instance, slow_start: float, now: float) -> float | None:
    """When its weight may change next by time alone."""
    if slow_start <= 0:
        return None
    age = _age(instance, now)
    later = (step for step in _steps(slow_start) if step > age)
    return next((floor(instance.since) + step for step in later), None)


def _steps(slow_start: float) -> list[int]:
    """After how many whole seconds each step comes; a second or more apart."""
    count = min(MAX_STEPS, max(1, int(slow_start)))
    return [ceil(slow_start * number / count) for number in range(1, count + 1)]


def _age(instance: Instance, now: float) -> int:
    return floor(now) - floor(instance.since)
