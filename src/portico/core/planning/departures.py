"""What other machines of the cluster are let know, and what waits until they act on it.

They send requests for an app to the machines whose list has it. The list is ahead of what
happens here: an app of which nothing is wanted on this machine any more (stopped, removed, moved
to other machines, the machine is drained) leaves it first, and its instances and nginx's files for
it stay until no other machine sends anything for it (`departure_wait`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

from portico.core.model.desired import Desired, DesiredApp
from portico.core.model.instance import Instance, InstanceState
from portico.core.model.neighbour import Cluster, NearList
from portico.core.model.world import FarEndpoint, World
from portico.core.planning.neighbours import are_known, are_silent, far_endpoints
from portico.core.planning.steps import (
    Announce,
    Drain,
    PublishFar,
    Step,
    StopNginx,
    SwitchGeneration,
)

ASK_TIME: Final = 1.5
"""Seconds in which nginx, that asks every second, has asked for an instance that became ready."""


def neighbour_steps(desired: Desired, world: World) -> Iterator[Step]:
    """What is to be known here of other machines, and there of this one."""
    if world.cluster is None:
        return
    near = near_list(world.cluster.machine, desired, world)
    yield from _publishing(desired, world, world.cluster, near)
    is_settled = all(name in world.endpoints for name in desired.apps)
    known = _without_unasked(near, desired, world)
    if is_settled and known != world.cluster.announced:
        yield Announce(known, "what is ready here has changed")


def _without_unasked(near: NearList, desired: Desired, world: World) -> NearList:
    """Without what nginx here would answer with 502."""
    unasked = {name for name, moment in _arrivals(desired, world) if moment > world.now}
    return replace(near, apps={n: count for n, count in near.apps.items() if n not in unasked})


def _publishing(
    desired: Desired, world: World, cluster: Cluster, near: NearList
) -> Iterator[Step]:
    """Until others are known nginx keeps the machines it has. One that is to be started has none:
    it begins with all that may have the app, and those without it send requests back. Where none
    answers a new daemon, nginx has no other machine, and keys are placed on this one: it would
    otherwise take no streams.
    """
    far, placed = far_endpoints(cluster.neighbours), desired.placed_by_key
    is_known, is_alone = are_known(cluster.neighbours), are_silent(cluster.neighbours)
    is_guess = not is_known and world.nginx.pid is None
    announced = near if is_guess else cluster.announced
    for name, app in desired.apps.items():
        wanted = tuple(_possible(app, desired)) if is_guess else far.get(name, ())
        if name in placed:
            if announced is None:
                continue  # nginx has the machines that an earlier daemon published
            wanted = (*_own_endpoint(name, desired, announced), *wanted)
        if not app.app.listens or wanted == world.far.get(name):
            continue
        if is_known or is_guess or (is_alone and (wanted or name in world.far)):
            known = f"{len(wanted)} ready"
            yield PublishFar(name, wanted, "nginx is to be started" if is_guess else known)


def _possible(app: DesiredApp, desired: Desired) -> Iterator[FarEndpoint]:
    """The other machines that it is placed on, as if all were ready there."""
    others = desired.other_machines
    for name in sorted(others.keys() & {*desired.machines_of(app.app)}):
        each = others[name]
        weight = app.elsewhere.get(name, app.instances) or 1
        yield FarEndpoint(name, each.address, each.port, weight)


def _own_endpoint(app: str, desired: Desired, announced: NearList) -> Iterator[FarEndpoint]:
    """As the other machines have it."""
    own, count = desired.machines.get(desired.machine), announced.apps.get(app)
    if own and count:
        yield FarEndpoint(desired.machine, own.address, own.port, count, is_own=True)


def near_list(machine: str, desired: Desired, world: World) -> NearList:
    """With what is ready; and with one instance of an app whose requests wait for it here."""
    wanted = [app for name, app in desired.apps.items() if _is_wanted(desired, name)]
    counts = {app.name: _ready(app, world) or int(desired.held_here(app) > 0) for app in wanted}
    ready = {name: count for name, count in counts.items() if count}
    is_down = not (desired.apps or desired.needs_nginx)
    return NearList(machine, ready, desired.drained or is_down, is_down)


def _ready(app: DesiredApp, world: World) -> int:
    """How many instances of it are ready; of one with a schedule how many runs there may be. What
    runs once is left to no other machine.
    """
    if app.app.schedule is not None:
        return 1
    if app.app.listens:
        mine = _handed_out(app.name, world)
    else:
        mine = [i for i in world.instances.values() if i.app == app.name]
    return 0 if app.app.runs_once else sum(i.state is InstanceState.READY for i in mine)


def _handed_out(app: str, world: World) -> list[Instance]:
    ids = [each.instance for each in world.endpoints.get(app, ())]
    return [i for id_ in ids if (i := world.instances.get(id_))]


def without_departures(steps: Sequence[Step], desired: Desired, world: World) -> Iterator[Step]:
    """The steps without those that would end what other machines still send requests for."""
    waiting = {name for name, moment in _departures(desired, world) if moment > world.now}
    for step in steps:
        if waiting and isinstance(step, SwitchGeneration | StopNginx):
            continue
        if isinstance(step, Drain) and world.instances[step.instance].app in waiting:
            continue
        yield step


def departure_at(desired: Desired, world: World) -> float | None:
    """When the next of them needs not be waited for any more, or one that has come can be
    announced, by the clock of `world.now`.
    """
    waits = chain(_departures(desired, world), _arrivals(desired, world))
    return min((moment for _, moment in waits if moment > world.now), default=None)


def _departures(desired: Desired, world: World) -> Iterator[tuple[str, float]]:
    """The apps that still take requests and are wanted here no more, and when they need not."""
    cluster = world.cluster
    serves = world.nginx.pid is not None or world.nginx.live
    if cluster is None or desired.at_once or not cluster.wait or not serves:
        return
    for name, endpoints in world.endpoints.items():
        if not endpoints or _is_wanted(desired, name):
            continue
        if cluster.announced is None or name in cluster.announced.apps:
            yield name, float("inf")
        else:
            yield name, cluster.withdrawn.get(name, cluster.first) + cluster.wait


def _arrivals(desired: Desired, world: World) -> Iterator[tuple[str, float]]:
    """The apps that others do not know here yet, and when nginx has asked for their instances."""
    if world.cluster is None or world.cluster.announced is None:
        return
    for name in world.endpoints.keys() - world.cluster.announced.apps.keys():
        ready = [i.since for i in _handed_out(name, world) if i.state is InstanceState.READY]
        if ready and _is_wanted(desired, name):
            yield name, min(ready) + ASK_TIME


def _is_wanted(desired: Desired, name: str) -> bool:
    app = desired.apps.get(name)
    return app is not None and not app.stopped and app.instances > 0
