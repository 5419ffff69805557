"""In which order apps begin and end, where some come `after` others.

It is an order of beginnings. An app begins when every app that it comes after is ready: all its
instances, as `service_healthy` means it in compose files, or ended well where it runs once. From
then on it is on its own: what dies is started again, scaled and replaced whatever has become of
the others. Of several apps whose program has changed one begins its rollout when those before it
have ended theirs. Apps that end together do so the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from portico.core.model.desired import Desired, DesiredApp
from portico.core.model.instance import LEAVING, Instance, InstanceState
from portico.core.planning.lifecycle import BOOTED
from portico.core.planning.rollout import is_rolled_out, ready_slots
from portico.core.planning.runs import is_up

S = InstanceState
Instances = Mapping[str, Sequence[Instance]]
_UNWELL = frozenset({S.BACKOFF, S.FAILED, S.STOPPED, S.UNREADY, S.RESTARTING})


@dataclass(frozen=True, slots=True)
class Wait:
    """What an app waits for before it begins."""

    first: tuple[str, ...]
    """The apps, those that they wait for included."""
    why: str
    """`waits for db (1 of 2 ready)`"""
    stuck: bool
    """Whether one of them is stopped, or in trouble: it may last."""


def waits(desired: Desired, instances: Instances) -> dict[str, Wait]:
    """The apps that may not begin, or begin their rollout, yet."""
    found: dict[str, Wait] = {}
    for app in _in_order(desired):
        missing = [each for each in _before(app, desired) if _is_missing(app, each, instances)]
        if missing:
            found[app.name] = _wait(missing, instances, found)
    return found


def stays(desired: Desired, instances: Instances) -> frozenset[str]:
    """The apps that are to end, and have to wait until others are gone that come after them."""
    if desired.at_once:
        return frozenset()
    known = {**desired.former, **desired.apps}
    ending = {
        name: app
        for name, app in known.items()
        if instances[name] and (app.stopped or name not in desired.apps)
    }
    return frozenset(
        before for app in ending.values() for before in _all_before(app, known) if before in ending
    )


def is_back(i: Instance) -> bool:
    """Whether it ran before the machine was started anew, and did not since."""
    return i.state is S.BACKOFF and i.reason == BOOTED


def _in_order(desired: Desired) -> list[DesiredApp]:
    """The apps that come after others; of any two of them first the one that the other is after:
    before that one there are fewer.
    """
    later = [app for app in desired.apps.values() if app.app.after and not app.stopped]
    return sorted(later, key=lambda app: len(_all_before(app, desired.apps)))


def _all_before(app: DesiredApp, known: Mapping[str, DesiredApp]) -> set[str]:
    found, to_visit = set[str](), [app]
    while to_visit:
        names = set(to_visit.pop().app.after) - found
        found |= names
        to_visit += [known[name] for name in names if name in known]
    return found


def _before(app: DesiredApp, desired: Desired) -> list[DesiredApp]:
    return [desired.apps[name] for name in app.app.after if name in desired.apps]


def _is_missing(app: DesiredApp, before: DesiredApp, instances: Instances) -> bool:
    """Whether an app has to wait for another one."""
    mine = [i for i in instances[app.name] if not is_back(i)]
    staying = [i for i in mine if i.state not in LEAVING]
    if staying:  # it runs: only the rollout to another version has yet to begin
        begun = any(i.spec == app.spec.id for i in staying)
        return not begun and not before.stopped and before.good != before.spec.id
    if app.abrupt and mine:  # a restart by hand is under way: the old ones are leaving
        return False
    return before.stopped or not is_rolled_out(before, instances[before.name])


def _wait(missing: Iterable[DesiredApp], instances: Instances, known: Mapping[str, Wait]) -> Wait:
    first: list[str] = []
    words: list[str] = []
    stuck = False
    for app in missing:
        mine, beyond = instances[app.name], known.get(app.name)
        first += [app.name, *(beyond.first if beyond else ())]
        unwell = next((i for i in mine if _is_unwell(app, i)), None)
        if app.stopped:
            words.append(f"{app.name}, which is stopped (`portico start {app.name}`)")
        elif beyond:
            words.append(f"{app.name}, which {beyond.why}")
        elif unwell:
            words.append(f"{app.name}: {unwell.id} {unwell.reason}")
        else:
            ready = len(ready_slots(app, mine))
            words.append(f"{app.name} ({ready} of {app.instances} ready)")
        stuck = stuck or app.stopped or unwell is not None or bool(beyond and beyond.stuck)
    return Wait(tuple(dict.fromkeys(first)), f"waits for {'; and for '.join(words)}", stuck)


def _is_unwell(app: DesiredApp, i: Instance) -> bool:
    ended = i.state in _UNWELL and not is_up(app.app, i) and not is_back(i)
    return i.spec == app.spec.id and (ended or i.crashes > 0)
