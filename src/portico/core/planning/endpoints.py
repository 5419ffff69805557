"""Which instances discovery hands out for an app."""

from __future__ import annotations

from collections.abc import Sequence

from portico.core.model.desired import DesiredApp
from portico.core.model.instance import Instance
from portico.core.model.world import Endpoint
from portico.core.planning.serving import serving_instances
from portico.core.planning.slow_start import share


def endpoints_of(
    app: DesiredApp, instances: Sequence[Instance], now: float
) -> tuple[Endpoint, ...]:
    """One endpoint a slot: its serving instance of the version wanted, else an older one."""
    best: dict[int, Instance] = {}
    for instance in serving_instances(app, instances, now):
        current = best.get(instance.slot)
        if current is None or _rank(app, instance) > _rank(app, current):
            best[instance.slot] = instance
    chosen = [instance for _, instance in sorted(best.items())]
    since: dict[bool, list[float]] = {False: [], True: []}
    for moment, is_backup in sorted((i.since, _is_backup(app, i)) for i in chosen):
        since[is_backup].append(moment)
    return tuple(_endpoint(app, i, since[_is_backup(app, i)], now) for i in chosen)


def _rank(app: DesiredApp, instance: Instance) -> tuple[bool, bool, bool, float]:
    pinned = instance.port == app.app.pinned(instance.slot)
    return instance.spec == app.spec.id, not instance.worn, pinned, instance.spawned


def _endpoint(app: DesiredApp, instance: Instance, since: Sequence[float], now: float) -> Endpoint:
    override = app.app.slots.get(str(instance.slot))
    whole = ((override and override.weight) or app.app.weight) * app.scale
    backup = _is_backup(app, instance)
    weight = whole * share(instance, since, app.app.slow_start, now)
    return Endpoint(
        instance.slot, instance.id, instance.port, weight=max(1, round(weight)), backup=backup
    )


def _is_backup(app: DesiredApp, instance: Instance) -> bool:
    override = app.app.slots.get(str(instance.slot))
    return bool(override and override.backup)
