"""How an app is, in one word for `portico status`."""

from __future__ import annotations

from collections.abc import Sequence

from portico.core.model.desired import DesiredApp
from portico.core.model.instance import LIVE_STATES, Instance, InstanceState
from portico.core.model.views import AppState
from portico.core.planning.runs import ended_badly, is_up

S = InstanceState
_UNWELL_STATES = frozenset({S.FAILED, S.UNREADY, S.RESTARTING})


def app_state(
    app: DesiredApp, instances: Sequence[Instance], *, waits: bool = False, is_here: bool = True
) -> AppState:
    """`waits` is whether it may not begin yet, because of apps that it comes after; `is_here`
    whether it is to run on this machine of its cluster.
    """
    if not is_here and not instances:
        return "elsewhere"
    if app.stopped:
        return "stopped"
    if waits and not any(i.state in LIVE_STATES for i in instances):
        return "waiting"
    return (
        _state_of_runs(app, instances) if app.app.schedule else _state_of_instances(app, instances)
    )


def _state_of_instances(app: DesiredApp, instances: Sequence[Instance]) -> AppState:
    if app.must_end and any(i.state in {S.STARTING, S.READY} for i in instances):
        return "running"
    if any(i.spec != app.spec.id or i.worn for i in instances):
        return "rolling"
    ready = any(i.state is S.READY for i in instances)
    up = sum(is_up(app, i) for i in instances)
    if up >= app.instances:
        return "ready" if ready else "stopped"
    if any(i.state in _UNWELL_STATES or i.crashes or ended_badly(app.app, i) for i in instances):
        return "degraded" if ready else "failed"
    if ready:
        return "degraded"
    all_stopped = instances and all(i.state is S.STOPPED for i in instances)
    return "stopped" if all_stopped else "starting"


def _state_of_runs(app: DesiredApp, instances: Sequence[Instance]) -> AppState:
    if any(i.state in {S.STARTING, S.READY} for i in instances):
        return "running"
    return "failed" if any(ended_badly(app.app, i) for i in instances) else "scheduled"
