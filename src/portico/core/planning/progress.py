"""How far the world is from what is wanted, in words for whoever waits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from portico.core.model.desired import Desired, DesiredApp
from portico.core.model.instance import LEAVING_STATES, Instance, InstanceState
from portico.core.model.names import InstanceId
from portico.core.model.world import NginxSeen, World
from portico.core.planning.lateness import late_instances
from portico.core.planning.order import waiting_apps
from portico.core.planning.rollout import is_rolled_out, ready_slots
from portico.core.planning.runs import is_up, runs_before

S = InstanceState
TOO_MANY_CRASHES = 3  # after so many in a row nobody should wait for the next
LATE_TIME: Final = 30.0
"""Seconds for which what continues is waited for at least: PM2's default is 3."""


@dataclass(frozen=True, slots=True)
class Progress:
    waiting: tuple[str, ...] = ()
    """What is still to come: `web: 2 of 4 ready`."""
    failed: tuple[str, ...] = ()
    """What will not come by waiting, each with why."""
    late: tuple[str, ...] = ()
    """What is not waited for any longer, and continues."""
    runs: bool = False
    """Whether a program is at work that others wait for until it has exited: for as long as it
    needs.
    """

    @property
    def done(self) -> bool:
        return not self.waiting and not self.failed


def progress(
    desired: Desired,
    world: World,
    apps: Iterable[str],
    *,
    generation: str,
    waited: float,
    replaced: Collection[InstanceId] = (),
) -> Progress:
    """How far these apps, and nginx, are; `waited` is how many seconds somebody has.

    `replaced` are the instances that are to leave.
    """
    names = list(apps)
    waiting: list[str] = []
    failed: list[str] = []
    late: list[str] = []
    instances = world.by_app()
    waits_for = waiting_apps(desired, instances)
    for name in names:
        app, wait = desired.apps.get(name), waits_for.get(name)
        mine = instances[name]
        if app is None or app.stopped or not app.instances:
            if mine or (app is None and name in world.endpoints):
                waiting.append(f"{name}: waiting for {len(mine)} to stop")
        elif failure := _failure(app, mine, waited):
            failed.append(failure)
        elif wait is not None:
            first = (desired.apps[each] for each in wait.apps)
            hopeless = any(a.stopped or _failure(a, instances[a.name], waited) for a in first)
            (failed if hopeless else waiting).append(f"{name} {wait.why}")
        elif step := _pending_text(app, mine, replaced):
            behind = late_instances(app.app, app.spec.id, mine, world.now)
            if behind and waited >= max(app.app.ready_timeout, LATE_TIME):
                late += (_continues(i, app) for i in behind)
            else:
                waiting.append(step)
    nginx = nginx_progress(world.nginx, generation)
    known = desired.apps.keys() & {*names, *runs_before(desired.apps, names)}
    runs = any(_runs(desired.apps[name], instances[name]) for name in known)
    return Progress((*waiting, *nginx.waiting), (*failed, *nginx.failed), tuple(late), runs)


def nginx_progress(nginx: NginxSeen, generation: str) -> Progress:
    """How far nginx is from serving the files with this fingerprint; without any, from its end."""
    if generation and nginx.refused == generation:
        return Progress(failed=(nginx.refused_because,))
    if generation and (nginx.pid is None or nginx.live != generation):
        return Progress(("nginx: the new configuration is not loaded yet",))
    if not generation and (nginx.pid is not None or nginx.live):
        return Progress(("nginx: waiting for it to stop",))
    return Progress()


def _failure(app: DesiredApp, mine: Sequence[Instance], waited: float) -> str:
    if app.app.schedule is not None:
        return ""
    for i in mine:
        if i.spec != app.spec.id or i.state in LEAVING_STATES or is_up(app, i):
            continue
        ended = i.state in {S.FAILED, S.STOPPED}
        if ended:
            return f"{i.id} {i.trouble}{_still_serving(i, mine)}"
        unwell = i.crashes or i.state in {S.UNREADY, S.RESTARTING}
        if i.crashes >= TOO_MANY_CRASHES or (unwell and waited >= app.app.ready_timeout):
            retried = "; Portico continues to restart it" if i.crashes else ""
            return f"{i.id} {i.trouble}{_still_serving(i, mine) or retried}"
    return ""


def _continues(i: Instance, app: DesiredApp) -> str:
    why = i.trouble or f"was not ready within {app.app.ready_timeout:g}s"
    return f"{i.id} {why}; it keeps running and gets requests when it answers"


def _still_serving(i: Instance, mine: Sequence[Instance]) -> str:
    serving = (o.id for o in mine if o.slot == i.slot and o.worn and o.state is S.READY)
    return "".join(f"; {each} keeps serving" for each in serving)


def _pending_text(
    app: DesiredApp, mine: Sequence[Instance], replaced: Collection[InstanceId]
) -> str:
    if left := sum(i.id in replaced and i.state not in LEAVING_STATES for i in mine):
        return f"{app.name}: {left} still to replace"
    if is_rolled_out(app, mine) and app.good == app.spec.id:
        return ""
    if _runs(app, mine):
        return f"{app.name}: running"
    return f"{app.name}: {len(ready_slots(app, mine))} of {app.instances} ready"


def _runs(app: DesiredApp, mine: Sequence[Instance]) -> bool:
    return app.must_end and any(i.spec == app.spec.id and i.state is S.READY for i in mine)
