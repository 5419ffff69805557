"""How whatever is not wanted any more leaves: out of discovery, drained, stopped, forgotten.

Where nothing is wanted any more (`portico down`) nginx leaves first. It takes no new connection
and finishes what it has, for which it needs the instances: an upload that is still coming in is
passed on only at its end. They go when it has gone, or when their time to drain is over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp
from portico.core.model.instance import LEAVING_STATES, PROVEN_STATES, Instance, InstanceState
from portico.core.model.names import split_name
from portico.core.model.world import World
from portico.core.planning.steps import Drain, DropApp, Forget, Kill, Publish, Step, Stop

S = InstanceState
STOP_SPREAD: Final = 0.25
"""The part of `drain_timeout` over which stops of one moment are spread."""
IMMEDIATE_STOP_TIMEOUT: Final = 1.0
"""Seconds that a program gets after its stop signal where nothing is waited for any more."""
REMOVED_APP: Final = "its app was removed"


def removal_steps(
    desired: Desired, world: World, generation: str, held: Collection[str] = ()
) -> Iterator[Step]:
    """Apps that are in no file any more; only once nginx names them no more either.

    Those `held` have others after them, which leave first.
    """
    if serves_removed(world, generation):
        return
    former = [i for i in world.instances.values() if i.app not in desired.apps]
    needed = {i.id for i in former if not generation and _is_needed(i, desired, world)}
    for i in former:
        if i.state not in LEAVING_STATES and i.id not in needed and i.app not in held:
            yield Drain(i.id, REMOVED_APP)
    left = {i.app for i in former}
    known = world.endpoints.keys() | desired.removed_apps.keys()
    for name in sorted(known - desired.apps.keys()):
        handed_out = world.endpoints.get(name, ())
        needed_ones = tuple(e for e in handed_out if e.instance in needed)
        if needed_ones != handed_out:
            yield Publish(name, needed_ones, REMOVED_APP)
        if name not in left:
            yield DropApp(name, "all its processes have exited")


def serves_removed(world: World, generation: str) -> bool:
    """Whether nginx may still serve an app that is in no file: its files are older than that."""
    return bool(generation) and world.nginx.live not in {"", generation}


def without_waiting(desired: Desired, project: str) -> Desired:
    """The same, but what is removed of a project waits for nothing any more when it leaves."""
    removed = {
        name: _without_waiting(app) if split_name(name)[0] == project else app
        for name, app in desired.removed_apps.items()
    }
    return replace(desired, removed_apps=removed)


def _without_waiting(app: DesiredApp) -> DesiredApp:
    timeouts = {
        "drain_timeout": 0.0,
        "stop_timeout": min(app.app.stop_timeout, IMMEDIATE_STOP_TIMEOUT),
    }
    return replace(app, spec=replace(app.spec, app=app.app.model_copy(update=timeouts)))


def leaving_steps(desired: Desired, world: World, generation: str) -> Iterator[Step]:
    """A new daemon answers for an app from its first plan on: what nginx knows of it before that
    an earlier one has answered.
    """
    served = set(desired.apps)
    if serves_removed(world, generation):
        served |= desired.removed_apps.keys()
    unanswered = served - world.endpoints.keys()
    handed_out = {e.instance for endpoints in world.endpoints.values() for e in endpoints}
    for i in world.instances.values():
        if i.state is S.GONE:
            yield Forget(i.id, "it has exited")
        elif i.state is S.DRAINING and i.id not in handed_out and i.app not in unanswered:
            if why := _stop_reason(i, desired, world):
                yield Stop(i.id, why)
        elif i.state is S.STOPPING and world.now - i.since >= stop_limit(i, desired):
            yield Kill(i.id, "did not stop in time")


def drained_at(i: Instance, desired: Desired, world: World) -> float:
    """When its time to drain is over, whatever is still connected to it."""
    drain_start = i.since if i.state is S.DRAINING else world.now
    if i.app not in desired.apps and world.nginx.leaving is not None:
        drain_start = min(drain_start, world.nginx.leaving)
    return drain_start + _drain_limit(i, desired)


def _drain_limit(i: Instance, desired: Desired) -> float:
    """At a restart by hand half of the time for which requests are held: the other half is for
    the successor's start.
    """
    timeout = app_keys(desired, i).drain_timeout
    app = desired.apps.get(i.app)
    return drain_limit(i.slot, min(timeout, app.wait / 2) if app and app.abrupt else timeout)


def drain_limit(slot: int, timeout: float) -> float:
    """For how long an instance in this slot waits for what is connected to it; never longer
    than `timeout`.

    Slots that begin to drain in one moment reach their ends one after the other, so that not
    all who held a WebSocket come back at once. The first slot has all of the time, and each of
    the next ones ends in the middle of the longest gap that those before it have left.
    """
    share, digit, rest = 0.0, 0.5, slot - 1
    while rest:
        share, digit, rest = share + digit * (rest % 2), digit / 2, rest // 2
    return timeout * (1 - STOP_SPREAD * share)


def stop_limit(i: Instance, desired: Desired) -> float:
    """Seconds from the stop signal to SIGKILL."""
    limit = app_keys(desired, i).stop_timeout
    return min(limit, IMMEDIATE_STOP_TIMEOUT) if desired.at_once else limit


def app_keys(desired: Desired, i: Instance) -> App:
    """What the file says of an instance's app; or said, where it is in no file any more."""
    app = desired.apps.get(i.app) or desired.removed_apps.get(i.app)
    return app.app if app else App()


def _is_needed(i: Instance, desired: Desired, world: World) -> bool:
    """Whether nginx, which takes no connection any more, may still pass something on to it."""
    if desired.at_once or world.nginx.pid is None or i.state not in PROVEN_STATES or not i.port:
        return False
    return world.now < drained_at(i, desired, world)


def _stop_reason(i: Instance, desired: Desired, world: World) -> str:
    """Why it may be stopped now; empty while it may not."""
    over = world.now >= drained_at(i, desired, world)
    app = desired.apps.get(i.app)
    if desired.at_once or (over and app is not None and app.abrupt):
        return "immediate stop requested"
    if i.id not in world.settled:
        return ""
    if world.connections.get(i.id) == 0:
        return "it has no connections"
    return f"it still has connections after {_drain_limit(i, desired):g}s" if over else ""
