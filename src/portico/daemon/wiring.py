"""The one place that knows which adapter stands behind which port.

`late.py` has those that most daemons never ask, `machine.py` what is found out at the start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from portico.adapters.certificates.issuing import CertificateChild
from portico.adapters.certificates.trust import TrustStores
from portico.adapters.disks.room import MountedDisks
from portico.adapters.files.watcher import NotifiedFiles
from portico.adapters.hooks.runner import HookRunner
from portico.adapters.lineages.disk import DiskLineages
from portico.adapters.lineages.pem_files import DiskPemFiles
from portico.adapters.logs.files import FileLogs
from portico.adapters.nginx.program import NginxProgram
from portico.adapters.nginx.workers import user_of_workers
from portico.adapters.notifications.sender import Sender
from portico.adapters.probes.loopback import LoopbackProbes
from portico.adapters.probes.remote import RemoteServers
from portico.adapters.processes.notices import UnixNotices
from portico.adapters.processes.sockets import LinuxPorts
from portico.adapters.processes.supervisor import LinuxProcesses
from portico.adapters.sites.probe import SiteProbe
from portico.adapters.state.sqlite import SqliteState
from portico.adapters.traffic.counting import CountingChild
from portico.api.app import Api
from portico.api.metrics_listener import MetricsListener
from portico.core.planning.endpoints import endpoints_of
from portico.core.planning.environment import NoticePaths
from portico.core.planning.steps import Step
from portico.core.render.bootstrap_peers import bootstrap_files
from portico.daemon.late import (
    acme_authorities,
    certbot_bridge,
    dashboard_listener,
    edge_file,
    edited_document_of,
    for_all_machines,
    late,
    machine_drain_of,
    machines_listener,
    neighbourhood_of,
    own_machine,
    shared_of,
    sharing_of,
    totals_of,
)
from portico.daemon.machine import (
    Mode,
    open_discovery,
    secret_of,
    this_daemon,
    this_machine,
    usable_cores,
)
from portico.daemon.members import connect_members
from portico.engine.certificates.alpn_passthrough import AlpnPassthrough
from portico.engine.certificates.assembly import CertificateParts, assemble_certificates
from portico.engine.certificates.issued_files import IssuedFiles
from portico.engine.certificates.stored_files import report_files
from portico.engine.changes import Changes
from portico.engine.client_files import ClientFiles
from portico.engine.control.assembly import assemble_control
from portico.engine.control.operations import Operations
from portico.engine.engine import Engine
from portico.engine.events import Events
from portico.engine.execute import Executor
from portico.engine.exposure import Exposure
from portico.engine.host_checks import HostChecks
from portico.engine.housekeeping import Housekeeping
from portico.engine.in_force import InForce
from portico.engine.instances.assembly import Instances, assemble_instances
from portico.engine.instances.file_watches import FileWatches
from portico.engine.instances.observer import Observer
from portico.engine.intent import Intent
from portico.engine.loop import ReconcileLoop
from portico.engine.notifications import Notifications
from portico.engine.observed import ObservedWorld
from portico.engine.prepare import Preparation
from portico.engine.projects import Projects
from portico.engine.safe_mode import SafeMode
from portico.engine.server_checks import ServerChecks
from portico.engine.settings import selected_nginx
from portico.engine.tasks import Tasks
from portico.engine.traffic import TrafficCounting
from portico.engine.troubles import Troubles
from portico.errors import PorticoError
from portico.ports.clock import Clock
from portico.system.home import Home
from portico.system.launcher import start_program_of

if TYPE_CHECKING:
    from portico.api.dashboard.listener import DashboardListener
    from portico.api.join_listener import JoinListener
    from portico.api.machines_listener import MachinesListener
    from portico.engine.cluster.assembly import ClusterStore
    from portico.engine.cluster.neighbourhood import Neighbourhood
    from portico.engine.cluster.totals import Totals

log = logging.getLogger(__name__)

STARTS_PER_CORE: Final = 4
"""Programs that may be starting at a time: enough where each waits now and then for something."""


@dataclass(frozen=True, slots=True)
class Portico:
    """A whole daemon, put together and not yet running."""

    api: Api
    certificates: CertificateParts
    changes: Changes
    dashboard: DashboardListener
    events: Events
    housekeeping: Housekeeping
    in_force: InForce
    instances: Instances
    intent: Intent
    join_listener: JoinListener | None
    """None where the cluster has no store."""
    loop: ReconcileLoop
    machines: MachinesListener | None
    """As `neighbourhood`."""
    metrics: MetricsListener
    neighbourhood: Neighbourhood | None
    """None on a machine that is in no cluster."""
    nginx: NginxProgram
    notifications: Notifications
    observed: ObservedWorld
    operations: Operations
    safe_mode: SafeMode
    shared: ClusterStore | None
    """None where the cluster has no store."""
    tasks: Tasks
    totals: Totals | None
    """As `neighbourhood`."""
    traffic: TrafficCounting
    troubles: Troubles
    watched: Callable[[], Collection[int]]
    """The pids of children that somebody waits for."""
    watches: FileWatches


async def assemble(
    home: Home,
    state: SqliteState,
    clock: Clock,
    group: asyncio.TaskGroup,
    mode: Mode,
    deaths: int,
) -> Portico:
    """Open the state, begin to answer nginx, and connect everything; nothing changes yet."""
    troubles = Troubles()
    tasks, safe_mode = Tasks(group, troubles, clock), SafeMode(deaths, troubles)
    start_program = start_program_of(os.environ)  # noqa: TID251 - set by our own unit
    ports, logs = LinuxPorts(clock), FileLogs(home.logs)
    discovery = await open_discovery(home, state, clock)
    nginx = NginxProgram(
        home,
        ports,
        bootstrap_peers=lambda: _bootstrap_peers(intent, observed),
        start_program=start_program,
        held=discovery.held,
    )
    paths, notices = (
        NoticePaths(str(home.notify), str(home.send), str(home.preload)),
        UnixNotices(),
    )
    processes = LinuxProcesses(home.logs, clock, paths, start_program)
    intent = Intent(state, nginx)
    events = Events(state, clock, Projects(intent).of_subject)
    observed = ObservedWorld(state, clock, discovery, nginx, ports, events)
    observed.hold(intent.holds())
    loop = ReconcileLoop(
        clock,
        intent.wanted,
        lambda: observer.observe(),  # noqa: PLW0108 - these stand below, on the loop
        lambda step: execute(step),  # noqa: PLW0108
        partial(_report_failure, troubles),
        lambda starts: execute.reserve(starts),  # noqa: PLW0108
        turn=lambda: api.requests.answered(),  # noqa: PLW0108
    )
    engine = Engine(clock, events, intent, loop, observed, safe_mode, state, tasks, troubles)
    instances = assemble_instances(
        engine,
        logs=logs,
        notices=notices,
        ports=ports,
        probes=LoopbackProbes(),
        processes=processes,
    )
    with troubles.fence("notices"):
        await notices.open(paths, instances.readiness.on_notice)
    server_checks = ServerChecks(engine, RemoteServers())
    neighbourhood = neighbourhood_of(engine, home)
    execute = Executor(
        engine,
        instances.supervision.spawn,
        nginx=nginx,
        ports=ports,
        processes=processes,
        announce=neighbourhood.announce if neighbourhood else None,
    )
    # Each on the ones above; what an operator asks for stands on all.
    stores = TrustStores.find(os.environ)  # noqa: TID251 - whose browsers are to trust us
    local = CertificateChild(home, sys.executable, clock, stores)
    lineages = await _lineages(home, local, clock, troubles)
    workers = await user_of_workers(start_program) if os.geteuid() == 0 else ""
    host_checks = HostChecks(
        processes,
        ports,
        nginx,
        local,
        instances=lambda: observed.instances,
        in_force=lambda: intent.desired,
        workers=workers,
    )
    machine = this_machine(home, discovery.address, workers, secret_of(state))
    client_files = ClientFiles()
    prepare = partial(
        Preparation,
        machine,
        nginx,
        local,
        host_checks,
        client_files=client_files,
        edge_file=partial(edge_file, home),
        selected_nginx=partial(selected_nginx, state),
        identity=partial(own_machine, home),
    )
    passthrough = AlpnPassthrough()
    issued = IssuedFiles(state, lineages, passthrough, clock)
    preparation = prepare(issued)
    in_force = InForce(engine, preparation)
    shared = shared_of(
        engine,
        in_force,
        neighbourhood,
        home,
        lambda: sharing.answering_thumbprint() if sharing else "",
    )
    authorities = late(partial(acme_authorities, home, start_program))
    sharing = sharing_of(engine, home, shared, authorities, lineages, issued)
    sites = SiteProbe()
    certificates = assemble_certificates(
        engine,
        in_force,
        issued,
        prepare,
        authorities=authorities,
        certbot=late(partial(certbot_bridge, home, lineages, local)),
        client_files=client_files,
        hooks=HookRunner(start_program),
        pem_files=DiskPemFiles(),
        lineages=lineages,
        local=local,
        nginx=nginx,
        passthrough=passthrough,
        scratch=DiskLineages(Home(home.certificates / "scratch"), local, clock),
        sharing=sharing,
        sites=sites,
    )
    traffic = CountingChild(home.traffic, clock)
    exposure = Exposure(intent, observed, ports, root=machine.root)
    operations, changes, convergence = assemble_control(
        engine,
        in_force,
        preparation,
        instances,
        certificates,
        exposure,
        server_checks=server_checks,
        daemon=this_daemon(home, mode),
        dashboard=late(lambda: dashboard),
        edited=edited_document_of,
        issued=issued,
        local=local,
        logs=logs,
        machines=neighbourhood,
        nginx=nginx,
        ports=ports,
        processes=processes,
        sites=sites,
        traffic=traffic,
    )
    operations.machine_drain = machine_drain_of(engine, neighbourhood, changes, convergence)
    join_listener = connect_members(engine, in_force, operations, shared, local, home)
    watches = FileWatches(
        intent,
        troubles,
        operations.reload_watched,
        clock=clock,
        files=NotifiedFiles(),
        home=str(home.path),
    )
    housekeeping = Housekeeping(
        engine,
        exposure,
        disks=MountedDisks(home.path),
        logs=logs,
        nginx=nginx,
        unreadable=host_checks.unreadable,
    )
    observer = Observer(
        engine,
        instances,
        watches,
        server_checks,
        most_starting=STARTS_PER_CORE * usable_cores(),
        cluster=neighbourhood.cluster if neighbourhood else None,
    )
    asked = for_all_machines(
        engine, home, shared, operations, changes, preparation, instances.timetable
    )
    api = Api(asked)
    dashboard = late(lambda: dashboard_listener(asked, api, state, clock))
    state.report_to(partial(troubles.report, "state"))
    return Portico(
        api,
        certificates,
        changes,
        dashboard,
        events,
        housekeeping,
        in_force,
        instances,
        intent,
        join_listener,
        loop,
        machines_listener(engine, home, neighbourhood, shared, operations, workers),
        MetricsListener(
            api, lambda: intent.desired.edge.metrics or "", troubles, loop.after_round
        ),
        neighbourhood,
        nginx,
        Notifications(engine, Sender(machine.authorities, start_program), socket.gethostname()),
        observed,
        operations,
        safe_mode,
        shared,
        tasks,
        totals_of(engine, in_force, neighbourhood),
        TrafficCounting(engine, traffic, str(home.path)),
        troubles,
        processes.watched,
        watches,
    )


def _bootstrap_peers(intent: Intent, observed: ObservedWorld) -> Mapping[str, str]:
    """The peers that discovery hands out, or will as soon as it is asked."""
    (desired, _), world = intent.wanted(), observed.now()
    instances = world.by_app()
    return bootstrap_files(
        {
            **observed.servers,
            **{
                name: endpoints_of(app, instances[name], world.now)
                for name, app in desired.apps.items()
            },
        },
        observed.far,
    )


async def _lineages(
    home: Home, local: CertificateChild, clock: Clock, troubles: Troubles
) -> DiskLineages:
    lineages = DiskLineages(home, local, clock)
    with troubles.fence("certificates on disk"):
        for name, wrong in (await lineages.load()).items():
            report_files(troubles, name, wrong)
    return lineages


def _report_failure(troubles: Troubles, step: Step, error: Exception) -> None:
    of = str(getattr(step, "instance", "") or getattr(step, "app", ""))
    if isinstance(error, PorticoError):
        troubles.report(str(step), str(error), of=of)
    else:
        troubles.unforeseen(str(step), str(step), error, of=of)
