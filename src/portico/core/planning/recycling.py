"""Which instances are to be replaced, one after the other, by new ones like them: for their age,
their memory, by schedule or by hand.

They are marked and nothing else; the rollout does the rest, and never takes more at a time than
a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from portico.core.model.desired import DesiredApp
from portico.core.model.instance import LEAVING_STATES, Instance, InstanceState
from portico.core.model.names import InstanceId
from portico.core.model.world import World
from portico.core.planning.steps import Recycle

SETTLE_TIMEOUT: Final = 15.0
"""Seconds after its start in which no instance is replaced for its memory: one that needs more
than its limit from the first moment on would be replaced without end."""
AGE_SPREAD: Final = 0.1
"""Of `max_age`, either way, so that instances that were started together do not end together."""
_GOLDEN_RATIO: Final = 0.6180339887498949  # its multiples are spread evenly however many there are
_MEBIBYTE: Final = 1 << 20


def recycle(app: DesiredApp, instances: Sequence[Instance], world: World) -> Iterator[Recycle]:
    """Marks for those of the version wanted; older ones are replaced anyway."""
    is_limited = app.app.max_memory is not None or app.app.max_age is not None
    is_due = app.app.restart_schedule is not None and app.name in world.due
    if not (is_limited or is_due or app.replace_instances):
        return
    for i in instances:
        staying = i.state not in LEAVING_STATES and i.spec == app.spec.id
        if staying and not i.worn and (why := _reason(app, i, world)):
            yield Recycle(i.id, why)


def age_limit(max_age: float, instance: InstanceId) -> float:
    """How old this instance may become, in seconds."""
    serial = int(instance.rpartition(".")[2])
    return max_age * (1 - AGE_SPREAD + 2 * AGE_SPREAD * (serial * _GOLDEN_RATIO % 1))


def _reason(app: DesiredApp, i: Instance, world: World) -> str:
    age, held = world.now - i.spawned, world.memory.get(i.id, 0)
    limit, longest = app.app.max_memory, app.app.max_age
    if i.id in app.replace_instances:
        return "requested by hand"
    is_due = app.app.restart_schedule is not None and app.name in world.due
    if i.state is not InstanceState.READY:
        has_ended = i.state is InstanceState.STOPPED  # by one of stop_exit_codes, say
        return "its restart_schedule" if has_ended and is_due else ""
    if limit is not None and held > limit and age >= SETTLE_TIMEOUT:
        return f"it uses {_mebibytes(held)} of memory; max_memory is {_mebibytes(limit)}"
    if is_due:
        return "its restart_schedule"
    if longest is not None and age >= age_limit(longest, i.id):
        return "it reached its max_age"
    return ""


def _mebibytes(size: int) -> str:
    return f"{size / _MEBIBYTE:.0f} MiB"
