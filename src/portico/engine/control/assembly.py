"""What answers operators, connected."""

from __future__ import annotations

from dataclasses import dataclass

from portico.core.model.views import DaemonView
from portico.engine.certificates.assembly import CertificateParts
from portico.engine.changes import Changes
from portico.engine.control.activity import Activity
from portico.engine.control.cache_purge import CachePurge
from portico.engine.control.convergence import Convergence
from portico.engine.control.nginx_programs import NginxPrograms
from portico.engine.control.operations import Operations
from portico.engine.control.read_operations import ReadFile
from portico.engine.control.status import StatusReport
from portico.engine.control.status_troubles import Machines
from portico.engine.engine import Engine
from portico.engine.exposure import Exposure
from portico.engine.in_force import InForce
from portico.engine.instances.assembly import Instances
from portico.engine.prepare import Preparation
from portico.engine.program_ports import ProgramPorts
from portico.engine.server_checks import ServerChecks
from portico.ports.dashboard import Dashboard
from portico.ports.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Control:
    """What can be asked of this machine alone, and what that is done with."""

    operations: Operations
    changes: Changes
    convergence: Convergence
    preparation: Preparation


def assemble_control(  # noqa: PLR0913 - an operator can ask for everything
    engine: Engine,
    in_force: InForce,
    instances: Instances,
    certificates: CertificateParts,
    exposure: Exposure,
    programs: ProgramPorts,
    *,
    server_checks: ServerChecks,
    daemon: DaemonView,
    dashboard: Dashboard,
    edited: ReadFile,
    machines: Machines | None,
    traffic: Traffic,
) -> Control:
    report = StatusReport(
        engine,
        instances,
        exposure,
        server_checks,
        activity=Activity(engine, programs.nginx, programs.ports),
        daemon=daemon,
        issued=certificates.issued,
        machines=machines,
        programs=programs,
        traffic=traffic,
    )
    versions = engine.intent.versions
    changes = Changes(engine.tasks, engine.clock, engine.events.note, lambda: versions.targets)
    convergence = Convergence(engine, report, nginx=programs.nginx, sites=programs.sites)
    operations = Operations(
        engine,
        changes,
        certificates,
        in_force,
        report,
        convergence,
        cache_purge=CachePurge(engine, programs.nginx),
        dashboard=dashboard,
        edited=edited,
        logs=programs.logs,
        nginx_programs=NginxPrograms(engine, changes, in_force, convergence, programs.nginx),
        traffic=traffic,
    )
    return Control(operations, changes, convergence, in_force.preparation)
