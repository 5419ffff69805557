"""Compare what should be with what is, and say what to do next.

Order is the safety argument. An endpoint is handed out only after its instance passed its
check. An instance leaves discovery first, is stopped only in a later round, when nginx has been
told and nothing is connected to it any more, and so a crash of the daemon between any two steps
leaves sites that still answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from portico.core.model.desired import Desired, DesiredApp
from portico.core.model.instance import LEAVING_STATES, PROVEN_STATES, Instance, InstanceState
from portico.core.model.world import World
from portico.core.planning.departures import departure_at, neighbour_steps, without_departures
from portico.core.planning.endpoints import endpoints_of
from portico.core.planning.health import recovery
from portico.core.planning.lateness import is_late, is_overdue
from portico.core.planning.lifecycle import moves
from portico.core.planning.order import (
    AppWait,
    held_for_dependents,
    ran_before_boot,
    rollouts_after,
    waiting_apps,
)
from portico.core.planning.pace import room_at, within_pace
from portico.core.planning.reasons import READY_NOT_REPORTED
from portico.core.planning.recycling import recycle
from portico.core.planning.rollout import is_rolled_out, rollout
from portico.core.planning.runs import ended_well, run_steps
from portico.core.planning.serving import RETURNING_STATES, takes_requests, to_restart
from portico.core.planning.slow_start import next_step
from portico.core.planning.steps import (
    Complete,
    Drain,
    Kill,
    Publish,
    Respawn,
    Restart,
    Revert,
    StartNginx,
    Step,
    StopNginx,
    SwitchGeneration,
    UpgradeNginx,
)
from portico.core.planning.teardown import (
    app_keys,
    drained_at,
    leaving_steps,
    removal_steps,
    serves_removed,
    stop_limit,
)

S = InstanceState
_NOT_READY_STATES: Final = frozenset({S.STARTING, S.UNREADY})
GATHER_TIME: Final = 0.5
"""Seconds from the first ready instance of an app for which new files wait for those that are
starting: nginx asks for instances when it has new files, and again only a second later.
"""
START_WAIT: Final = 10.0
"""Seconds for which an nginx that has to be started waits for the first instance of all that are
starting: it would answer 502, and learn of what is ready up to a second later.
"""
RETRY_INTERVAL: Final = 60.0
"""Seconds after which a crash loop gets another chance, if it is to replace a worn instance."""


def plan(desired: Desired, world: World, *, generation: str = "") -> tuple[Step, ...]:
    """The steps to take now; empty when there is nothing left to do, or only to wait.

    `generation` is the fingerprint of the nginx files that belong to `desired`; empty when
    there is nothing for nginx to serve.
    """
    instances = world.by_app()
    waiting, staying = waiting_apps(desired, instances), held_for_dependents(desired, instances)
    held, failed = waiting.keys() | staying, _failed_rollouts(desired, instances, world.now)
    steps = (
        *neighbour_steps(desired, world),  # others wait for it
        *_nginx(desired, world, instances, generation, waiting),
        *(
            step
            for name, app in desired.apps.items()
            for step in _app(app, instances[name], world, failed.get(name), held=name in held)
        ),
        *_removed_apps(desired, world, instances, generation),
        *removal_steps(desired, world, generation, staying),
        *leaving_steps(desired, world, generation),
    )
    return tuple(within_pace(tuple(without_departures(steps, desired, world)), desired, world))


def _nginx(
    desired: Desired,
    world: World,
    instances: Mapping[str, Sequence[Instance]],
    generation: str,
    held: Mapping[str, AppWait],
) -> Iterator[Step]:
    seen = world.nginx
    if seen.busy:
        return
    waiting = not all(
        _may_be_served(app, instances[name], world, held.get(name))
        for name, app in desired.apps.items()
    )
    if not generation:
        if seen.pid is not None or seen.live:  # workers may outlive a killed master
            yield StopNginx(graceful=not desired.at_once, why="no site or stream is configured")
    elif seen.is_upgrade_interrupted:
        yield UpgradeNginx("its program was being replaced when the previous daemon exited")
    elif desired.upgrade and seen.pid is not None and not waiting:
        yield UpgradeNginx("its program will be replaced")
    elif generation not in {seen.live, seen.refused} and not waiting:
        yield SwitchGeneration(generation, "sites, streams, routes or TLS changed")
    elif seen.pid is None and seen.live and world.now >= (_start_at(desired, world) or 0.0):
        yield StartNginx("its master process died")


def _may_be_served(
    app: DesiredApp, mine: Sequence[Instance], world: World, wait: AppWait | None
) -> bool:
    """Whether waiting longer before sites point at the app would gain nothing."""
    if wait is not None and wait.is_blocked:
        return True
    if not takes_requests(app):
        return True
    if world.endpoints.get(app.name):
        return world.now >= (_gathered_at(mine) or 0.0)
    return any(
        i.crashes > 0 or i.state in {S.STOPPED, S.FAILED} or is_late(i, app.app, world.now)
        for i in mine
    )


def _start_at(desired: Desired, world: World) -> float | None:
    """When nginx is not to wait for instances any more, which have all ended as it has; None where
    none of an app that was ready before is on its way.
    """
    instances = world.by_app()
    apps = [app for app in desired.apps.values() if app.good and takes_requests(app)]
    mine = [i for app in apps for i in instances[app.name]]
    returning = [i.since for i in mine if i.state in RETURNING_STATES and not i.crashes]
    ready = [i.since for i in mine if i.state in {S.READY, S.UNREADY}]
    if not returning:
        return None
    return min(ready) + GATHER_TIME if ready else min(returning) + START_WAIT


def _gathered_at(mine: Sequence[Instance]) -> float | None:
    """When nginx is not to wait for more of them; None where none is about to be ready."""
    ready = [i.since for i in mine if i.state is S.READY]
    is_starting = any(i.state is S.STARTING and not i.crashes for i in mine)
    return min(ready) + GATHER_TIME if ready and is_starting else None


def _app(
    app: DesiredApp, mine: Sequence[Instance], world: World, failure: str | None, *, held: bool
) -> Iterator[Step]:
    """`failure` is why its rollout is given up; empty if it is to wait until others are. `held` is
    one that may not begin yet, or not end, because of others (`after`).
    """
    if app.app.schedule is not None:
        yield from _run_steps(app, mine, world)
        return
    if failure is not None:
        if failure:
            yield Revert(app.name, failure)
        return
    yield from recycle(app, mine, world)
    may_replace = world.cluster is None or world.cluster.may_replace
    rolling = () if held else tuple(rollout(app, mine, world.now, may_replace=may_replace))
    yield from rolling
    wanted = endpoints_of(app, mine, world.now)
    if wanted != world.endpoints.get(app.name):
        yield Publish(app.name, wanted, f"{len(wanted)} ready")
    leave = {step.instance for step in rolling if isinstance(step, Drain)}
    stay = [i for i in mine if i.id not in leave and not (held and ran_before_boot(i))]
    yield from _restarts(app, stay, world.now)
    yield from _restart_unwell(app, stay, world)
    if app.good != app.spec.id and is_rolled_out(app, mine):
        all_of_them = (
            f"all {app.instances} instances are" if app.instances > 1 else "its instance is"
        )
        yield Complete(app.name, f"{all_of_them} ready")


def _run_steps(app: DesiredApp, mine: Sequence[Instance], world: World) -> Iterator[Step]:
    if app.name not in world.endpoints:
        yield Publish(app.name, (), "it serves no requests")
    yield from run_steps(app, mine, due=app.name in world.due, now=world.now)
    if app.good != app.spec.id:
        yield Complete(app.name, "it runs on a schedule")


def _removed_apps(
    desired: Desired, world: World, instances: Mapping[str, Sequence[Instance]], generation: str
) -> Iterator[Step]:
    """Apps in no file that nginx still serves: it has not taken the new files over yet, or does
    not take them. Their instances are looked after as before, and no new ones are wanted.
    """
    for app in desired.removed_apps.values() if serves_removed(world, generation) else ():
        if app.app.schedule is not None:
            continue
        mine = instances[app.name]
        wanted = endpoints_of(app, mine, world.now)
        if wanted != world.endpoints.get(app.name):
            yield Publish(app.name, wanted, f"{len(wanted)} ready")
        yield from _restarts(app, mine, world.now)
        yield from _restart_unwell(app, mine, world)


def _failed_rollouts(
    desired: Desired, instances: Mapping[str, Sequence[Instance]], now: float
) -> dict[str, str]:
    """Which rollouts are given up, and why. With a run that had to end well, all that were to
    begin after it, and these first: as long as any is left, the run must be known to have failed.
    """
    own = {
        name: why
        for name, app in desired.apps.items()
        if (why := _rollout_failure(app, instances[name], now))
    }
    later = rollouts_after(desired, instances, own)
    return {
        **own,
        **dict.fromkeys(later.values(), ""),
        **{n: own[run] for n, run in later.items()},
    }


def _rollout_failure(app: DesiredApp, mine: Sequence[Instance], now: float) -> str:
    """Why the rollout that is under way cannot succeed; empty when it may."""
    if app.good in {None, app.spec.id} or app.abrupt or app.stopped:
        return ""
    for i in mine:
        if i.spec != app.spec.id or i.state in LEAVING_STATES:  # leaving: of an earlier attempt
            continue
        if i.state is S.READY and not i.crashes:
            continue
        if ended_well(app.app, i) or moves(i, app.app):
            continue
        if i.crashes or i.state in {S.FAILED, S.STOPPED, S.UNREADY, S.RESTARTING}:
            return f"{i.id} {i.trouble or 'did not become ready'}"
        if is_overdue(i, app.app, now):
            return f"{i.id} {_overdue_reason(i, app)}"
    return ""


def _restarts(app: DesiredApp, mine: Sequence[Instance], now: float) -> Iterator[Step]:
    for i in [i for i in mine if i.state not in PROVEN_STATES]:
        if i.state is S.BACKOFF and now >= i.retry_at and not app.stopped:
            yield Respawn(i.id, i.reason)
        elif i.state is S.FAILED and now - i.since >= RETRY_INTERVAL and _is_replacement(i, mine):
            yield Respawn(i.id, "it replaces an instance")
        elif i.state is S.STARTING and i.process is None and not app.stopped:
            yield Respawn(i.id, "the previous daemon did not finish it")
        elif is_overdue(i, app.app, now):
            yield Kill(i.id, _overdue_reason(i, app))
        elif i.state is S.RESTARTING and now - i.since >= app.app.stop_timeout:
            yield Kill(i.id, "did not stop in time")


def _restart_unwell(app: DesiredApp, mine: Sequence[Instance], world: World) -> Iterator[Step]:
    """Restart what does not recover, once nginx sends nothing to it any more."""
    unwell = to_restart(app, mine, world.now)
    lost = [i for i in mine if i.taken and i.state in _NOT_READY_STATES and moves(i, app.app)]
    if not unwell and not lost:
        return
    handed_out = {endpoint.instance for endpoint in world.endpoints.get(app.name, ())}
    for i in unwell:
        if i.id in world.settled and i.id not in handed_out and i not in lost:
            yield Restart(i.id, i.reason)
    for i in lost:
        if i.id not in handed_out and i.process is not None:
            yield Restart(i.id, i.reason)


def _is_replacement(i: Instance, mine: Sequence[Instance]) -> bool:
    return not i.worn and any(other.worn and other.slot == i.slot for other in mine)


def _overdue_reason(i: Instance, app: DesiredApp) -> str:
    limit = f"was not ready within {app.app.ready_timeout:g}s"
    if i.spec == app.spec.id and app.app.wait_ready and not i.said_ready:
        return f"{limit}: {READY_NOT_REPORTED}" + (f"; besides, it {i.reason}" if i.reason else "")
    return i.reason or limit


def wake_at(desired: Desired, world: World) -> float | None:
    """When, at the latest, time alone makes another plan; on the clock of `world.now`."""
    moments = (_next_moment(i, desired, world) for i in world.instances.values())
    gathered = map(_gathered_at, world.by_app().values())
    start = _start_at(desired, world) if world.nginx.pid is None else None
    later = (*moments, *gathered, start, room_at(world), departure_at(desired, world))
    return min((m for m in later if m is not None and m > world.now), default=None)


def _next_moment(  # noqa: PLR0911 - one case a state
    i: Instance, desired: Desired, world: World
) -> float | None:
    match i.state:
        case S.READY:
            return next_step(i, app_keys(desired, i).slow_start, world.now)
        case S.BACKOFF:
            return i.retry_at
        case S.STARTING:
            return i.since + app_keys(desired, i).ready_timeout
        case S.UNREADY:
            return i.since + recovery(app_keys(desired, i).check)
        case S.DRAINING:
            return drained_at(i, desired, world)
        case S.STOPPING | S.RESTARTING:
            return i.since + stop_limit(i, desired)
        case _:
            return None
