"""In which order apps begin and end, where some come `after` others.

It is an order of beginnings. An app begins when every app that it comes after is ready: all its
instances, as `service_healthy` means it in compose files, or ended well where it runs once. From
then on it is on its own: what dies is started again, scaled and replaced whatever has become of
the others. Of several apps whose program has changed one begins its rollout when those before it
have ended theirs. Apps that end together do so the other way round.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from portico.core.model.desired import Desired, DesiredApp
from portico.core.model.instance import LEAVING_STATES, Instance, InstanceState
from portico.core.planning.lifecycle import REBOOT_REASON
from portico.core.planning.rollout import is_rolled_out, ready_slots
from portico.core.planning.runs import is_up

S = InstanceState
Instances = Mapping[str, Sequence[Instance]]
_UNWELL_STATES = frozenset({S.BACKOFF, S.FAILED, S.STOPPED, S.UNREADY, S.RESTARTING})


@dataclass(frozen=True, slots=True)
class AppWait:
    """What an app waits for before it begins."""

    apps: tuple[str, ...]
    """The apps, those that they wait for included."""
    why: str
    """`waits for db (1 of 2 ready)`"""
    is_blocked: bool
    """Whether one of them is stopped, or in trouble: it may last."""


def waiting_apps(desired: Desired, instances: Instances) -> dict[str, AppWait]:
    """The apps that may not begin, or begin their rollout, yet."""
    found: dict[str, AppWait] = {}
    for app in _in_order(desired):
        awaited = [
            each for each in _predecessors(app, desired) if _must_wait_for(app, each, instances)
        ]
        if awaited:
            found[app.name] = _wait(awaited, instances, found)
    return found


def held_for_dependents(desired: Desired, instances: Instances) -> frozenset[str]:
    """The apps that are to end, and have to wait until others are gone that come after them."""
    if desired.at_once:
        return frozenset()
    known = {**desired.removed_apps, **desired.apps}
    ending = {
        name: app
        for name, app in known.items()
        if instances[name] and (app.stopped or name not in desired.apps)
    }
    return frozenset(
        before
        for app in ending.values()
        for before in _all_predecessors(app, known)
        if before in ending
    )


def rollouts_after(
    desired: Desired, instances: Instances, failed: Collection[str]
) -> dict[str, str]:
    """The apps whose rollout was to begin after a run that had to end well and has failed; each
    with that run.
    """
    runs = {name for name in failed if desired.apps[name].must_end}
    if not runs:
        return {}
    return {
        name: min(before)
        for name, app in desired.apps.items()
        if (before := runs & _all_predecessors(app, desired.apps))
        and _waits_to_begin(app, instances[name])
    }


def _waits_to_begin(app: DesiredApp, mine: Sequence[Instance]) -> bool:
    """Whether there is a version to keep, and no instance of the one wanted."""
    if app.good in {None, app.spec.id} or app.abrupt or app.stopped:
        return False
    return not any(i.spec == app.spec.id and i.state not in LEAVING_STATES for i in mine)


def ran_before_boot(i: Instance) -> bool:
    """Whether it ran before the machine was started anew, and did not since."""
    return i.state is S.BACKOFF and i.reason == REBOOT_REASON


def _in_order(desired: Desired) -> list[DesiredApp]:
    """The apps that come after others; of any two of them first the one that the other is after:
    before that one there are fewer.
    """
    later = [app for app in desired.apps.values() if app.app.after and not app.stopped]
    return sorted(later, key=lambda app: len(_all_predecessors(app, desired.apps)))


def _all_predecessors(app: DesiredApp, known: Mapping[str, DesiredApp]) -> set[str]:
    found, to_visit = set[str](), [app]
    while to_visit:
        names = set(to_visit.pop().predecessors) - found
        found |= names
        to_visit += [known[name] for name in names if name in known]
    return found


def _predecessors(app: DesiredApp, desired: Desired) -> list[DesiredApp]:
    return [desired.apps[name] for name in app.predecessors if name in desired.apps]


def _must_wait_for(app: DesiredApp, before: DesiredApp, instances: Instances) -> bool:
    """Whether an app has to wait for another one."""
    mine = [i for i in instances[app.name] if not ran_before_boot(i)]
    staying = [i for i in mine if i.state not in LEAVING_STATES]
    if staying:  # it runs: only the rollout to another version has yet to begin
        is_started = any(i.spec == app.spec.id for i in staying)
        return not is_started and not before.stopped and before.good != before.spec.id
    if app.abrupt and mine:  # a restart by hand is under way: the old ones are leaving
        return False
    return before.stopped or not is_rolled_out(before, instances[before.name])


def _wait(
    awaited: Iterable[DesiredApp], instances: Instances, known: Mapping[str, AppWait]
) -> AppWait:
    apps: list[str] = []
    reasons: list[str] = []
    blocked = False
    for app in awaited:
        mine, its_wait = instances[app.name], known.get(app.name)
        apps += [app.name, *(its_wait.apps if its_wait else ())]
        unwell = next((i for i in mine if _is_unwell(app, i)), None)
        if app.stopped:
            reasons.append(f"{app.name}, which is stopped (`portico start {app.name}`)")
        elif its_wait:
            reasons.append(f"{app.name}, which {its_wait.why}")
        elif unwell:
            reasons.append(f"{app.name}: {unwell.id} {unwell.trouble}")
        elif app.must_end and any(i.state is S.READY for i in mine):
            reasons.append(f"{app.name} to end")
        else:
            ready = len(ready_slots(app, mine))
            reasons.append(f"{app.name} ({ready} of {app.instances} ready)")
        blocked = (
            blocked or app.stopped or unwell is not None or bool(its_wait and its_wait.is_blocked)
        )
    return AppWait(tuple(dict.fromkeys(apps)), f"waits for {'; and for '.join(reasons)}", blocked)


def _is_unwell(app: DesiredApp, i: Instance) -> bool:
    ended = i.state in _UNWELL_STATES and not is_up(app, i) and not ran_before_boot(i)
    staying = i.spec == app.spec.id and i.state not in LEAVING_STATES
    return staying and (ended or i.crashes > 0)
