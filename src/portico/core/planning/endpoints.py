"""Which instances discovery hands out for an app."""

from __future__ import annotations

from collections.abc import Sequence

from portico.core.model.desired import DesiredApp
from portico.core.model.instance import Instance, InstanceState
from portico.core.model.world import Endpoint


def endpoints_of(app: DesiredApp, instances: Sequence[Instance]) -> tuple[Endpoint, ...]:
    """One endpoint a slot: its ready instance of the version wanted, else a ready older one."""
    if app.app.down or not app.app.listens:
        return ()
    best: dict[int, Instance] = {}
    for instance in instances:
        if instance.state is InstanceState.READY:
            rival = best.get(instance.slot)
            if rival is None or _rank(app, instance) > _rank(app, rival):
                best[instance.slot] = instance
    return tuple(
        _endpoint(app, instance)
        for slot, instance in sorted(best.items())
        if not _slot_is_down(app, slot)
    )


def _rank(app: DesiredApp, instance: Instance) -> tuple[bool, bool, float]:
    pinned = instance.port == app.app.pinned(instance.slot)
    return instance.spec == app.spec.id, pinned, instance.spawned


def _slot_is_down(app: DesiredApp, slot: int) -> bool:
    differing = app.app.slots.get(str(slot))
    return bool(differing and differing.down)


def _endpoint(app: DesiredApp, instance: Instance) -> Endpoint:
    differing = app.app.slots.get(str(instance.slot))
    weight = differing.weight if differing else None
    return Endpoint(
        instance.slot,
        instance.id,
        instance.port,
        weight=weight or app.app.weight,
        backup=bool(differing and differing.backup),
    )
