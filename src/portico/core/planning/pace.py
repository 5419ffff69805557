"""How many programs are started at a time, so that a thousand of them leave the machine usable.

A start has its place until its instance is ready or has ended, and for no longer than a moment:
programs that wait for something else while they start do not hold up others. What comes back
after a crash has places of its own, which no rollout can take; and what is started because of
the time of day is never put off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from portico.core.model.desired import Desired
from portico.core.model.instance import STARTABLE_STATES, Instance, InstanceState
from portico.core.model.world import World
from portico.core.planning.steps import Respawn, StartInstance, Step

START_ALLOWANCE: Final = 0.5
"""Seconds for which a start may have its place."""


def within_pace(steps: Sequence[Step], desired: Desired, world: World) -> Iterator[Step]:
    """The steps without the starts that have to wait."""
    if world.most_starting is None:
        yield from steps
        return
    starting = _starting(world)
    room = {
        True: world.most_starting - sum(i.restarts > 0 for i in starting),
        False: world.most_starting - len(starting),
    }
    for step in steps:
        if not isinstance(step, StartInstance | Respawn) or _is_timed(step, desired, world):
            yield step
        elif room[is_restart := _is_restart(step, world)] > 0:
            room[is_restart] -= 1
            yield step


def room_at(world: World) -> float | None:
    """When, at the latest, one more may be started; None where time does not decide it."""
    if world.most_starting is None or not (starting := _starting(world)):
        return None
    return min(i.spawned for i in starting) + START_ALLOWANCE


def _is_restart(step: StartInstance | Respawn, world: World) -> bool:
    """Whether it ran before, so that `restarts` counts its start."""
    return isinstance(step, Respawn) and world.instances[step.instance].state in STARTABLE_STATES


def _is_timed(step: StartInstance | Respawn, desired: Desired, world: World) -> bool:
    if isinstance(step, Respawn):
        return world.instances[step.instance].is_run
    return desired.apps[step.app].app.schedule is not None


def _starting(world: World) -> list[Instance]:
    return [
        i
        for i in world.instances.values()
        if i.state is InstanceState.STARTING
        and i.process
        and world.now - i.spawned < START_ALLOWANCE
    ]
