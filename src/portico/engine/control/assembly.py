"""What answers operators, connected."""

from __future__ import annotations

from dataclasses import dataclass

from portico.core.model.views import DaemonView
from portico.engine.certificates.assembly import CertificateParts
from portico.engine.control.control_ports import ControlPorts
from portico.engine.control.convergence import Convergence
from portico.engine.control.operations import Operations
from portico.engine.control.status import StatusReport
from portico.engine.control.status_troubles import Machines
from portico.engine.engine import Engine
from portico.engine.exposure import Exposure
from portico.engine.in_force import InForce
from portico.engine.instances.assembly import Instances
from portico.engine.prepare import Preparation
from portico.engine.server_checks import ServerChecks


@dataclass(frozen=True, slots=True)
class Control:
    """What can be asked of this machine alone, and what that is done with."""

    operations: Operations
    convergence: Convergence
    preparation: Preparation


def assemble_control(  # noqa: PLR0913 - an operator can ask for everything
    engine: Engine,
    in_force: InForce,
    instances: Instances,
    certificates: CertificateParts,
    exposure: Exposure,
    ports: ControlPorts,
    *,
    server_checks: ServerChecks,
    daemon: DaemonView,
    machines: Machines | None,
) -> Control:
    report = StatusReport(
        engine,
        instances,
        exposure,
        server_checks,
        ports,
        daemon=daemon,
        issued=certificates.issued,
        machines=machines,
    )
    programs = ports.programs
    convergence = Convergence(engine, report, nginx=programs.nginx, sites=programs.sites)
    operations = Operations(engine, certificates, in_force, report, convergence, ports)
    return Control(operations, convergence, in_force.preparation)
