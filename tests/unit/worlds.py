"""Apps, instances and worlds in few words, for tables of tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from portico.core.config.desired import version_in_file
from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.instance import Instance, InstanceState, Process
from portico.core.model.names import InstanceId
from portico.core.model.world import NginxSeen, World
from portico.core.planning.endpoints import endpoints_of
from portico.core.planning.reconcile import plan
from portico.core.planning.steps import Step

NOW = 1000.0
SERVING = NginxSeen(pid=81, generation=1, live="g1")


def app(
    name: str = "web",
    *,
    version: str = "v1",
    good: str | None = "v1",
    stopped: bool = False,
    abrupt: bool = False,
    instances: int = 1,
    **keys,
) -> DesiredApp:
    """In force in version v1 and rolled out, unless said otherwise; `keys` are the file's."""
    its = App.model_validate({"command": "run", "instances": instances, **keys})
    spec = Spec(version, name, its, "/srv", {})
    return DesiredApp(name, instances, spec, good, stopped, abrupt)


def rolled_back(before: dict[str, object], in_file: dict[str, object]) -> DesiredApp:
    """Version v1 is wanted again, with the keys `before`, while the file still has v2."""
    file = app(version="v2", **in_file)
    return replace(file, spec=version_in_file(app(**before).spec, file.spec))


def one(
    state: InstanceState = InstanceState.READY,
    *,
    slot: int = 1,
    version: str = "v1",
    serial: int | None = None,
    name: str = "web",
    **fields,
) -> Instance:
    """An instance `web.SLOT.SERIAL`, in its state since now; the serial is the slot's number if
    unset, and 10 more for each version after the first.
    """
    number = serial if serial is not None else slot + 10 * (int(version[1:]) - 1)
    known = {
        "port": 41000 + number,
        "since": NOW,
        "spawned": NOW,
        "process": Process(4000 + number, 7.0),
    }
    name_of_it = InstanceId(f"{name}.{slot}.{number}")
    return Instance(name_of_it, name, slot, version, state=state, **known | fields)


def desired(*apps: DesiredApp, **fields) -> Desired:
    return Desired(apps={each.name: each for each in apps}, **fields)


def world(
    *instances: Instance,
    knows: Iterable[DesiredApp] = (),
    nginx: NginxSeen = SERVING,
    now: float = NOW,
    **fields,
) -> World:
    """A world in which discovery hands out what it should for the apps that it `knows`."""
    mine = {each.name: [i for i in instances if i.app == each.name] for each in knows}
    endpoints = {each.name: endpoints_of(each, mine[each.name], now) for each in knows}
    return World(
        now, {i.id: i for i in instances}, **{"endpoints": endpoints, **fields}, nginx=nginx
    )


def planned(its: DesiredApp, *instances: Instance, **fields) -> list[str]:
    """What is planned for one app that discovery knows, with nginx as it should be."""
    seen = world(*instances, **{"knows": [its], **fields})
    return said(plan(desired(its), seen, generation=seen.nginx.live))


def said(steps: Sequence[Step]) -> list[str]:
    return [str(step) for step in steps]


def why(steps: Sequence[Step]) -> list[str]:
    return [step.why for step in steps]
