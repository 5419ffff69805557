"""What the steps will be, one after the other, if every step works: `portico plan`.

`outcome` says what the steps of a round make of the world. With it tests walk through every order
of events without a process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, assert_never

from portico.core.model.desired import Desired, DesiredApp
from portico.core.model.instance import Exit, Instance, InstanceEvent, InstanceState, LastExit
from portico.core.model.names import InstanceId
from portico.core.model.neighbour import Cluster
from portico.core.model.world import World
from portico.core.planning import steps
from portico.core.planning.lifecycle import move
from portico.core.planning.reconcile import plan
from portico.core.planning.steps import Step

MAX_ROUNDS: Final = 10_000
UNLISTED_STEPS: Final = (
    steps.Forget,
    steps.Complete,
    steps.DropApp,
    steps.PublishFar,
    steps.Announce,
)  # bookkeeping that nobody needs to read
SOME_PORT: Final = -1  # a free one, which is found only when an instance is started


def preview(desired: Desired, world: World, *, generation: str) -> tuple[Step, ...]:
    """Every step from here to the end."""
    steps: list[Step] = []
    world = _at_rest(world)
    for _ in range(MAX_ROUNDS):
        now = plan(desired, world, generation=generation)
        if not now:
            break
        desired, world = outcome(now, desired, world)
        steps += [step for step in now if not isinstance(step, UNLISTED_STEPS)]
    return tuple(steps)


def outcome(steps: Sequence[Step], desired: Desired, world: World) -> tuple[Desired, World]:
    """What is wanted and what is, once these have worked and their processes have done their part,
    one after the other.
    """
    by_id = dict(world.instances)  # copied once, however many steps change one of them
    world = replace(world, instances=by_id)
    for step in steps:
        desired, world = _outcome(step, desired, world, by_id)
    return desired, _with_drains_settled(world)


def _outcome(  # noqa: C901, PLR0912, PLR0915 - one case a kind of step
    step: Step, desired: Desired, world: World, by_id: dict[InstanceId, Instance]
) -> tuple[Desired, World]:
    match step:
        case steps.StartInstance(app, slot, port):
            started = _new_instance(desired.apps[app], slot, port, world)
            by_id[started.id] = started
        case steps.Respawn(instance):
            again = move(by_id[instance], InstanceEvent.SPAWNED, now=world.now)
            by_id[instance] = replace(again, state=InstanceState.READY, crashes=0)
        case steps.Restart(instance):
            by_id[instance] = replace(by_id[instance], state=InstanceState.READY, since=world.now)
        case steps.Publish(app, endpoints):
            world = replace(world, endpoints={**world.endpoints, app: endpoints})
        case steps.PublishFar(app, machines):
            world = replace(world, far={**world.far, app: machines})
        case steps.Announce(near):
            seen = replace(world.cluster or Cluster(), announced=near, wait=0.0)
            world = replace(world, cluster=seen)
        case steps.Drain(instance):
            by_id[instance] = move(by_id[instance], InstanceEvent.DRAIN_ASKED, now=world.now)
        case steps.Recycle(instance, why):
            by_id[instance] = replace(by_id[instance], worn=why)
        case steps.SkipRun():
            pass
        case steps.Interrupt(instance, why):
            by_id[instance] = replace(by_id[instance], reason=why)
        case steps.Stop(instance) | steps.Kill(instance):
            by_id[instance] = replace(by_id[instance], state=InstanceState.GONE, process=None)
        case steps.Forget(instance):
            del by_id[instance]
        case steps.Revert(app):
            before = desired.apps[app]
            spec = replace(before.spec, id=before.good or before.spec.id)
            desired = _with_app(desired, replace(before, spec=spec))
        case steps.Complete(app):
            done = replace(desired.apps[app], good=desired.apps[app].spec.id, abrupt=False)
            desired = _with_app(desired, done)
        case steps.DropApp(app):
            known = {k: v for k, v in world.endpoints.items() if k != app}
            others = {k: v for k, v in desired.removed_apps.items() if k != app}
            desired, world = replace(desired, removed_apps=others), replace(world, endpoints=known)
        case steps.SwitchGeneration(fingerprint):
            nginx = replace(world.nginx, live=fingerprint, pid=world.nginx.pid or 1)
            world = replace(world, nginx=nginx)
        case steps.StartNginx():
            world = replace(world, nginx=replace(world.nginx, pid=1))
        case steps.UpgradeNginx():
            nginx = replace(world.nginx, outdated=False, is_upgrade_interrupted=False)
            desired, world = replace(desired, upgrade=False), replace(world, nginx=nginx)
        case steps.StopNginx():
            world = replace(world, nginx=replace(world.nginx, pid=None, live=""))
        case _:
            assert_never(step)
    return desired, world


def _at_rest(world: World) -> World:
    """What is under way has come to its end: processes have started or stopped, nginx is done."""
    instances = {i.id: _come_to_rest(i, world.now) for i in world.instances.values()}
    nginx = replace(world.nginx, busy=False)
    return _with_drains_settled(replace(world, instances=instances, nginx=nginx))


def _come_to_rest(i: Instance, now: float) -> Instance:
    match i.state:
        case InstanceState.STARTING | InstanceState.RESTARTING:
            return replace(i, state=InstanceState.READY, since=now)
        case InstanceState.STOPPING:
            return replace(i, state=InstanceState.GONE, process=None)
        case InstanceState.BACKOFF:
            return replace(i, retry_at=now)
        case _:
            return i


def _with_app(desired: Desired, app: DesiredApp) -> Desired:
    return replace(desired, apps={**desired.apps, app.name: app})


def _new_instance(app: DesiredApp, slot: int, port: int | None, world: World) -> Instance:
    number = len(world.instances) + 1
    return Instance(
        InstanceId(f"{app.name}.{slot}.new{number}"),
        app.name,
        slot,
        app.spec.id,
        port or (SOME_PORT if app.app.listens else 0),
        InstanceState.STOPPED if app.must_end else InstanceState.READY,
        since=world.now,
        spawned=world.now,
        ended=LastExit(Exit(0), 0.0) if app.must_end else None,
    )


def _with_drains_settled(world: World) -> World:
    draining = [i.id for i in world.instances.values() if i.state is InstanceState.DRAINING]
    return replace(world, settled=frozenset(draining), connections=dict.fromkeys(draining, 0))
