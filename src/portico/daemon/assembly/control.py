"""What answers operators, connected: the API, the dashboard, and who else may ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from portico.adapters.traffic.counting import CountingChild
from portico.api.app import Api
from portico.daemon.assembly.preparation import PreparationParts
from portico.daemon.assembly.programs import ProgramAdapters
from portico.daemon.lazy_parts import (
    dashboard_listener,
    edited_document_of,
    for_all_machines,
    lazy,
    machine_drain_of,
)
from portico.daemon.machine import Mode, this_daemon
from portico.daemon.members import connect_members
from portico.engine.certificates.assembly import CertificateParts
from portico.engine.control.assembly import assemble_control
from portico.engine.control.control_ports import ControlPorts
from portico.engine.control.operations import Operations
from portico.engine.engine import Engine
from portico.engine.exposure import Exposure
from portico.engine.instances.assembly import Instances
from portico.engine.server_checks import ServerChecks
from portico.ports.traffic import Traffic
from portico.system.home import Home

if TYPE_CHECKING:
    from portico.api.dashboard.listener import DashboardListener
    from portico.api.join_listener import JoinListener
    from portico.engine.cluster.cluster_store import ClusterStore
    from portico.engine.cluster.neighbourhood import Neighbourhood


@dataclass(frozen=True, slots=True)
class ControlParts:
    api: Api
    dashboard: DashboardListener
    exposure: Exposure
    join_listener: JoinListener | None
    """None where the cluster has no store."""
    operations: Operations
    """Of this machine alone."""
    traffic: Traffic


def connect_control(  # noqa: PLR0913 - an operator can ask for everything
    engine: Engine,
    home: Home,
    programs: ProgramAdapters,
    prepared: PreparationParts,
    instances: Instances,
    certificates: CertificateParts,
    *,
    mode: Mode,
    neighbourhood: Neighbourhood | None,
    server_checks: ServerChecks,
    shared: ClusterStore | None,
) -> ControlParts:
    in_force, local = prepared.in_force, prepared.local
    root, traffic = prepared.machine.root, CountingChild(home.traffic, engine.clock)
    exposure = Exposure(engine.intent, engine.observed, programs.ports, root=root)
    control = assemble_control(
        engine,
        in_force,
        instances,
        certificates,
        exposure,
        ControlPorts(lazy(lambda: dashboard), edited_document_of, programs, traffic),
        server_checks=server_checks,
        daemon=this_daemon(home, mode),
        machines=neighbourhood,
    )
    operations = control.operations
    operations.machine_drain = machine_drain_of(engine, neighbourhood, control)
    join_listener = connect_members(engine, in_force, operations, shared, local, home)
    asked = for_all_machines(engine, home, shared, control, instances.timetable)
    api = Api(asked)
    dashboard = lazy(lambda: dashboard_listener(asked, api, engine.state, engine.clock))
    return ControlParts(api, dashboard, exposure, join_listener, operations, traffic)
