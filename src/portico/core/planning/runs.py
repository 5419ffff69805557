"""Programs that are to end: those that run at their times, and those that run once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from portico.core.model.app import App
from portico.core.model.desired import DesiredApp
from portico.core.model.instance import LEAVING_STATES, Instance, InstanceState
from portico.core.planning.steps import (
    Drain,
    Interrupt,
    Kill,
    Respawn,
    SkipRun,
    StartInstance,
    Step,
)

S = InstanceState
_RUNNING_STATES = frozenset({S.STARTING, S.READY})


def run_steps(
    app: DesiredApp, instances: Sequence[Instance], *, due: bool, now: float
) -> Iterator[Step]:
    """What to start and to end of an app with a schedule. One run at a time.

    A run goes on when the file changes; the next one is of the new version.
    """
    staying = [i for i in instances if i.state not in LEAVING_STATES]
    running = [i for i in staying if i.state in _RUNNING_STATES and i.is_run]
    last = next((i for i in staying if i.spec == app.spec.id and i.is_run), None)
    ending = running if app.is_left else []  # the last run here is not interrupted by a drain
    for i in staying:
        if (app.stopped or not i.is_run) and i not in ending:
            yield Drain(i.id, why_it_leaves(app, "it runs on a schedule now"))
    for i in ending if app.stopped else running:
        yield from _end_overlong(app.app, i, now)
    if app.stopped or not due or not app.instances:  # none here: it is placed on other machines
        return
    active = [i for i in instances if i.process is not None]
    if active:
        yield SkipRun(app.name, f"the previous run {active[0].id} has not finished")
    elif last:
        yield Respawn(last.id, "scheduled time")
    else:
        for i in staying:
            yield Drain(i.id, "the version has changed")
        yield StartInstance(app.name, 1, None, "scheduled time")


def why_it_leaves(app: DesiredApp, otherwise: str) -> str:
    """The reason of all its instances; `otherwise` is that of these alone."""
    if app.is_left:
        return "this machine is drained, and other machines run it"
    return "stopped by hand" if app.stopped else otherwise


def runs_before(apps: Mapping[str, DesiredApp], rolled_out: Iterable[str]) -> frozenset[str]:
    """The apps that run once before a rollout of these."""
    found, names = set[str](), list(rolled_out)
    while names:
        app = apps.get(names.pop())
        before = {n for n in app.predecessors if n in apps and apps[n].must_end} if app else set()
        names += before - found
        found |= before
    return frozenset(found)


def is_up(app: DesiredApp, i: Instance) -> bool:
    """Whether it is as it should be: ready, or ended well where it was to run once."""
    return (i.state is S.READY and not app.must_end) or ended_well(app.app, i)


def ended_well(app: App, i: Instance) -> bool:
    """Whether a program that serves nobody has done its work, and is not started again."""
    if i.state is not S.STOPPED or app.listens or i.ended is None:
        return False
    return i.ended.exit.code in {0, *app.stop_exit_codes}


def ended_badly(app: App, i: Instance) -> bool:
    """Whether it has ended, is not wanted back, and did not end as it should."""
    if i.state is not S.STOPPED or i.ended is None:
        return False
    return i.ended.exit.code not in {0, *app.stop_exit_codes}


def _end_overlong(app: App, i: Instance, now: float) -> Iterator[Step]:
    if app.timeout is None or now - i.spawned < app.timeout:
        return
    if not i.reason:
        yield Interrupt(i.id, f"ran longer than its timeout of {app.timeout:g}s")
    elif now - i.since >= app.stop_timeout:
        yield Kill(i.id, "did not stop in time")
