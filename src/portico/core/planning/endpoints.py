"""Which instances discovery hands out for an app."""

from __future__ import annotations

from collections.abc import Sequence

from portico.core.model.desired import DesiredApp
from portico.core.model.instance import Instance
from portico.core.model.world import Endpoint
from portico.core.planning.serving import who_serves


def endpoints_of(
    app: DesiredApp, instances: Sequence[Instance], now: float
) -> tuple[Endpoint, ...]:
    """One endpoint a slot: its serving instance of the version wanted, else an older one."""
    best: dict[int, Instance] = {}
    for instance in who_serves(app, instances, now):
        rival = best.get(instance.slot)
        if rival is None or _rank(app, instance) > _rank(app, rival):
            best[instance.slot] = instance
    return tuple(_endpoint(app, instance) for _, instance in sorted(best.items()))


def _rank(app: DesiredApp, instance: Instance) -> tuple[bool, bool, bool, float]:
    pinned = instance.port == app.spec.app.pinned(instance.slot)
    return instance.spec == app.spec.id, not instance.worn, pinned, instance.spawned


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
