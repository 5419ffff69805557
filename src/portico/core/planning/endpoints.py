"""Which instances discovery hands out for an app."""

from __future__ import annotations

from collections.abc import Sequence

from portico.core.model.desired import DesiredApp
from portico.core.model.instance import Instance, InstanceState
from portico.core.model.world import Endpoint


def endpoints_of(app: DesiredApp, instances: Sequence[Instance]) -> tuple[Endpoint, ...]:
    """One endpoint a slot: its ready instance of the version wanted, else a ready older one."""
    best: dict[int, Instance] = {}
    for instance in instances:
        if serves(app, instance):
            rival = best.get(instance.slot)
            if rival is None or _rank(app, instance) > _rank(app, rival):
                best[instance.slot] = instance
    return tuple(_endpoint(app, instance) for _, instance in sorted(best.items()))


def serves(app: DesiredApp, instance: Instance) -> bool:
    """Whether it may be handed out. A worker, of this version or one before, has no port."""
    ready = instance.state is InstanceState.READY and instance.port != 0
    return ready and _gets_requests(app, instance.slot)


def takes_requests(app: DesiredApp) -> bool:
    """Whether any slot of it is handed out as soon as an instance is ready in it."""
    return not app.stopped and any(_gets_requests(app, n) for n in range(1, app.instances + 1))


def _gets_requests(app: DesiredApp, slot: int) -> bool:
    differing = app.app.slots.get(str(slot))
    return app.spec.app.listens and not app.app.down and not (differing and differing.down)


def _rank(app: DesiredApp, instance: Instance) -> tuple[bool, bool, float]:
    pinned = instance.port == app.spec.app.pinned(instance.slot)
    return instance.spec == app.spec.id, pinned, instance.spawned


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
