"""What each machine of a cluster runs of an app, and with which settings of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Literal

from portico.core.model.app import App, AppOnMachine
from portico.core.model.cluster import Machine, placed_on, shares
from portico.core.model.desired import Desired, DesiredApp
from portico.core.model.document import Document


def document_on(document: Document, machine: str, machines: Mapping[str, Machine]) -> Document:
    """With the environments and limits that its apps have on this machine."""
    apps = {name: _app_on(app, machine, machines) for name, app in document.apps.items()}
    return document.model_copy(update={"apps": apps})


def desired_on(
    desired: Desired, machine: str, cores: int, drained: Collection[str] = ()
) -> Desired:
    """What all machines want, as it is wanted on this one, which has so many cores: no instance of
    what other machines run, and its part of what all run together, with that of the machines
    that are `drained`.
    """
    every = desired.apps.items()
    apps = {n: _part_of(app, desired, machine, cores, frozenset(drained)) for n, app in every}
    return replace(
        desired,
        machine=machine,
        apps=apps,
        totals={n: app.app for n, app in every if app.app.total},
    )


def parts(
    name: str, app: App, machines: Mapping[str, Machine], drained: Collection[str] = ()
) -> dict[str, int | Literal["max"]]:
    """By machine, how many instances of an app it runs, of those that run any.

    A machine that has a number of its own runs so many. Of a `total` the others share the rest;
    those that are `drained` run none of it as long as one is left that is not.
    """
    names = placed_on(app.on, machines)
    if app.total:
        names = tuple(m for m in names if m not in drained) or names
    found = {m: n for m in names if (n := _own_number(app, m, machines)) is not None}
    others = [m for m in names if m not in found]
    if app.total:
        rest = app.total - sum(n for n in found.values() if n != "max")
        found |= shares(name, max(0, rest), others)
    else:
        found |= dict.fromkeys(others, app.instances)
    return {m: found[m] for m in names if found.get(m)}


def vacated_machines(before: Desired, after: Desired) -> set[str]:
    """The machines that lose an app altogether which moves to other ones altogether: those have to
    start it first, unless it cannot run twice.
    """
    found = set[str]()
    for name, app in after.apps.items():
        if name in before.apps and app.app.replace_order != "stop_first":
            old = parts(name, before.apps[name].app, before.machines).keys()
            new = parts(name, app.app, after.machines).keys()
            found |= old if new and old.isdisjoint(new) else set()
    return found


def ready_parts(desired: Desired, drained: Collection[str]) -> dict[str, dict[str, int]]:
    """By app that has a `total` and is not stopped by hand, how many instances of it each machine
    has ready while those are `drained`.
    """
    return {
        name: {
            m: _ready_of(app, n) for m, n in parts(name, app, desired.machines, drained).items()
        }
        for name, app in desired.totals.items()
        if not desired.apps[name].stopped or desired.apps[name].is_left
    }


def _part_of(
    app: DesiredApp, desired: Desired, machine: str, cores: int, drained: frozenset[str]
) -> DesiredApp:
    """A drained machine runs what it ran before, also of other machines' parts, until it has left
    it to others. Requests may cross to both, so that nothing changes for nginx where the part of
    another machine moves.
    """
    usual = parts(app.name, app.app, desired.machines)
    now = mine = usual
    names = desired.machines_of(app.app)
    if app.app.total and drained:
        now = parts(app.name, app.app, desired.machines, drained)
        if machine not in usual or not drained.issuperset(names):  # else no other takes its part
            mine = parts(app.name, app.app, desired.machines, drained - {machine})
    number = mine.get(machine, 0)
    elsewhere = _parts_elsewhere(app, desired, machine, drained | {machine})
    on = tuple(m for m in names if m in usual or m in now or (m == machine and number))
    if on and len(on) < len(names):
        on_those = app.app.model_copy(update={"on": on})
        app = replace(app, spec=replace(app.spec, app=on_those))
    return replace(app, instances=cores if number == "max" else number, elsewhere=elsewhere)


def _parts_elsewhere(
    app: DesiredApp, desired: Desired, machine: str, drained: frozenset[str]
) -> dict[str, int]:
    if not app.app.total:
        return {}
    found = parts(app.name, app.app, desired.machines, drained)
    return {m: _ready_of(app.app, n) for m, n in found.items() if m != machine}


def _ready_of(app: App, count: int | Literal["max"]) -> int:
    """Of so many instances, those that take requests; what runs once is never ready."""
    if app.runs_once or app.down or count == "max":
        return 0
    return sum(not app.slot(number).down for number in range(1, count + 1))


def _app_on(app: App, machine: str, machines: Mapping[str, Machine]) -> App:
    keys: dict[str, object] = {}
    env = dict(app.env)
    for table in _tables(app, machine, machines):
        env |= table.env
        keys |= {"max_memory": table.max_memory} if table.max_memory else {}
    return app.model_copy(update={**keys, "env": env}) if app.machines else app


def _own_number(
    app: App, machine: str, machines: Mapping[str, Machine]
) -> int | Literal["max"] | None:
    numbers = [each.instances for each in _tables(app, machine, machines)]
    return next((n for n in reversed(numbers) if n is not None), None)


def _tables(app: App, machine: str, machines: Mapping[str, Machine]) -> Iterator[AppOnMachine]:
    """Those for a machine; a later one takes precedence: of its labels in the order of the file,
    then the one of its name.
    """
    labels = machines[machine].labels
    yield from (table for word, table in app.machines.items() if word in labels)
    yield from (table for word, table in app.machines.items() if word == machine)
