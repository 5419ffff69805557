"""Which instances discovery hands out for an app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from portico.core.model.app import App
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
    chosen = [best[slot] for slot in sorted(best)]
    if not app.app.slow_start and not app.app.slots:  # a thousand are alike
        weight = app.app.weight * app.scale
        return tuple([Endpoint(i.slot, i.id, i.port, weight) for i in chosen])
    since = _ready_since(app.app, chosen) if app.app.slow_start else {}
    return tuple(_endpoint(app.app, app.scale, i, since, now) for i in chosen)


def _ready_since(app: App, chosen: Sequence[Instance]) -> Mapping[bool, Sequence[float]]:
    """The moments, in their order, of those that are backups and of those that are not."""
    since: dict[bool, list[float]] = {False: [], True: []}
    for moment, backup in sorted((i.since, _is_backup(app, i)) for i in chosen):
        since[backup].append(moment)
    return since


def _rank(app: DesiredApp, instance: Instance) -> tuple[bool, bool, bool, float]:
    pinned = instance.port == app.app.pinned_port(instance.slot)
    return instance.spec == app.spec.id, not instance.worn, pinned, instance.spawned


def _endpoint(
    app: App, scale: int, i: Instance, since: Mapping[bool, Sequence[float]], now: float
) -> Endpoint:
    backup, whole = _is_backup(app, i), (app.slot(i.slot).weight or app.weight) * scale
    part = share(i, since[backup], app.slow_start, now) if since else 1.0
    return Endpoint(i.slot, i.id, i.port, weight=max(1, round(whole * part)), backup=backup)


def _is_backup(app: App, instance: Instance) -> bool:
    return bool(app.slot(instance.slot).backup)
