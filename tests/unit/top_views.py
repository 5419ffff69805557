"""A status for the tests of `portico top`."""

from __future__ import annotations

from portico.core.model.machine_views import MachineStatusView, MachineView
from portico.core.model.views import (
    AppView,
    DaemonView,
    InstanceView,
    NeighbourView,
    NginxView,
    ProjectView,
    StatusView,
    TrafficView,
)


def status(apps, projects=("shop",), troubles=(), machine="", *, shared=False):
    """In a cluster `m2` is the other machine."""
    return StatusView(
        machine=machine,
        shared=shared,
        neighbours=(neighbour(),) if machine else (),
        projects=tuple(
            ProjectView(name=name, source=f"/srv/{name}", folder="/srv", revision=1)
            for name in projects
        ),
        apps=tuple(apps),
        sites=(),
        nginx=NginxView(pid=7, version="1.31.3", generation=1, program="nginx", outdated=False),
        daemon=DaemonView(
            pid=8, version="0.1.0", home="/home", memory_bytes=1 << 20, uptime_s=1.0
        ),
        source="/srv/portico.toml",
        revision=1,
        troubles=tuple(troubles),
    )


def neighbour():
    return NeighbourView(
        name="m2", address="10.0.0.2", reached=True, used=True, drained=False, reason=""
    )


def other_machine(apps):
    """As `m1` shows it, with the same apps."""
    said = {"machine": "m2", "apps": [each.model_dump() for each in apps]}
    return MachineView(**dict(neighbour()), status=MachineStatusView.model_validate(said))


def app(name, slots, project="shop"):
    instances = tuple(instance(slot, rate=float(slot)) for slot in slots)
    return AppView(
        name=name,
        project=project,
        state="running",
        instances=instances,
        wanted=len(instances),
        balance="",
        command="",
        cwd="",
    )


def instance(slot, *, state="ready", rate=None, **more):
    traffic = None if rate is None else TrafficView(rate, 0.004, 0.2, 0.3, 1)
    fields = {"pid": 100 + slot, "port": 2000 + slot, "restarts": 0, "uptime_s": 60.0}
    fields |= {"memory_bytes": 1 << 20, "cpu_percent": 1.5, "current": True, **more}
    return InstanceView(id=f"web.{slot}", slot=slot, state=state, traffic=traffic, **fields)
