"""Which instances discovery hands out for an app."""

from __future__ import annotations

from collections.abc import Sequence

from portico.core.model.desired import DesiredApp
from portico.core.model.instance import Instance
from portico.core.model.world import Endpoint
from portico.core.planning.serving import who_serves
from portico.core.planning.slow_start import share


def endpoints_of(
    app: DesiredApp, instances: Sequence[Instance], now: float
) -> tuple[Endpoint, ...]:
    """One endpoint a slot: its serving instance of the version wanted, else an older one."""
    best: dict[int, Instance] = {}
    for instance in who_serves(app, instances, now):
        rival = best.get(instance.slot)
        if rival is None or _rank(app, instance) > _rank(app, rival):
            best[instance.slot] = instance
    chosen = [instance for _, instance in sorted(best.items())]
    return tuple(_endpoint(app, instance, chosen, now) for instance in chosen)


def _rank(app: DesiredApp, instance: Instance) -> tuple[bool, bool, bool, float]:
    pinned = instance.port == app.spec.app.pinned(instance.slot)
    return instance.spec == app.spec.id, not instance.worn, pinned, instance.spawned


def _endpoint(
    app: DesiredApp, instance: Instance, chosen: Sequence[Instance], now: float
) -> Endpoint:
    differing = app.app.slots.get(str(instance.slot))
    whole = ((differing and differing.weight) or app.app.weight) * app.scale
    backup = _is_backup(app, instance)
    beside = [i for i in chosen if _is_backup(app, i) is backup]
    weight = whole * share(instance, beside, app.app.slow_start, now)
    return Endpoint(
        instance.slot, instance.id, instance.port, weight=max(1, round(weight)), backup=backup
    )


def _is_backup(app: DesiredApp, instance: Instance) -> bool:
    differing = app.app.slots.get(str(instance.slot))
    return bool(differing and differing.backup)
