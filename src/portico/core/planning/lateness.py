"""Instances that are not ready within `ready_timeout`: restarted, or left to continue as in PM2.

One that continues is as ready as it will be where no site sends requests to it, or where its
check has passed and only its own word is missing. Otherwise it goes on starting, and gets
requests when it answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from portico.core.model.app import App
from portico.core.model.instance import Instance, InstanceState


def is_overdue(i: Instance, app: App, now: float) -> bool:
    """Whether its time is up, so that it is to be restarted."""
    return app.after_ready_timeout == "restart" and _time_is_up(i, app, now)


def is_late(i: Instance, app: App, now: float) -> bool:
    """Whether its time is up, and it continues."""
    return app.after_ready_timeout == "continue" and _time_is_up(i, app, now)


def must_answer(app: App, *, reached: bool) -> bool:
    """Whether its port has to be its own: not where it may listen nowhere, because it continues
    when its time is up, and no site would send it requests.
    """
    return reached or app.after_ready_timeout != "continue" or app.health is not None


def run_time_until_ready(app: App) -> float:
    """Seconds that what cannot be probed has to run until it is ready: before its time is up."""
    return min(app.min_uptime, app.ready_timeout / 2)


def late_instances(app: App, version: str, mine: Sequence[Instance], now: float) -> list[Instance]:
    """Those of a version."""
    return [i for i in mine if i.spec == version and is_late(i, app, now)]


def _time_is_up(i: Instance, app: App, now: float) -> bool:
    return i.state is InstanceState.STARTING and now - i.since >= app.ready_timeout
