"""The one place that knows which adapter stands behind which port."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from secrets import token_hex
from typing import Final, Literal

from portico import __version__
from portico.adapters.acme.authorities import Authorities, account_key
from portico.adapters.certificates.issuing import CertificateChild
from portico.adapters.certificates.trust import TrustStores
from portico.adapters.discovery.responder import Responder
from portico.adapters.disks.room import MountedDisks
from portico.adapters.files.watcher import NotifiedFiles
from portico.adapters.hooks.runner import HookRunner
from portico.adapters.lineages.disk import DiskLineages
from portico.adapters.logs.files import FileLogs
from portico.adapters.nginx.generations import discovery_of
from portico.adapters.nginx.processes import users_of
from portico.adapters.nginx.program import NginxProgram
from portico.adapters.nginx.workers import user_of_workers
from portico.adapters.probes.loopback import LoopbackProbes
from portico.adapters.processes.notices import UnixNotices
from portico.adapters.processes.sockets import LinuxPorts
from portico.adapters.processes.supervisor import LinuxProcesses
from portico.adapters.sites.visitor import Visitor
from portico.adapters.state.sqlite import SqliteState
from portico.core.model.views import DaemonView
from portico.core.model.world import World
from portico.core.planning.endpoints import endpoints_of
from portico.core.planning.environment import NoticePaths
from portico.core.planning.steps import StartInstance, Step
from portico.core.render.alpn import answers
from portico.core.render.bootstrap_peers import bootstrap_files
from portico.engine.certificates.alpn_passthrough import AlpnPassthrough
from portico.engine.certificates.deployment import Deployment
from portico.engine.certificates.dry_run import DryRun, ScratchFiles
from portico.engine.certificates.loop import CertificateLoop, IssuedFiles
from portico.engine.certificates.migration import Migration
from portico.engine.changes import Changes
from portico.engine.control.convergence import Convergence
from portico.engine.control.operations import Operations
from portico.engine.control.status import StatusReport
from portico.engine.execute import Executor
from portico.engine.exposure import Exposure
from portico.engine.host_checks import HostChecks
from portico.engine.housekeeping import Housekeeping
from portico.engine.in_force import InForce
from portico.engine.instances.file_watches import FileWatches
from portico.engine.instances.liveness import Liveness
from portico.engine.instances.memory_use import MemoryUse
from portico.engine.instances.ownership import Ownership
from portico.engine.instances.readiness import Readiness
from portico.engine.instances.supervision import Supervision
from portico.engine.instances.timetable import Timetable
from portico.engine.intent import Intent
from portico.engine.loop import ReconcileLoop
from portico.engine.observed import Observed
from portico.engine.prepare import Machine, Preparation
from portico.engine.safe_mode import SafeMode
from portico.engine.tasks import Tasks
from portico.engine.troubles import Troubles
from portico.errors import Failed, PorticoError
from portico.importers.certbot_bridge import CertbotBridge
from portico.ports.clock import Clock
from portico.system.home import Home
from portico.system.launcher import start_program_of
from portico.system.names import (
    authorities,
    hosts,
    nameservers,
    own_loopbacks,
    speaks_ipv6,
    unprivileged_from,
)
from portico.system.zone import time_zone

log = logging.getLogger(__name__)

Mode = Literal["command", "unit", "foreground"]
"""As in `DaemonView`."""
STARTS_PER_CORE: Final = 4
"""Programs that may be starting at a time: enough where each waits now and then for something."""
DISCOVERY_PORT: Final = "discovery_port"
"""Setting of a Portico that did not yet note in a generation where its files ask."""
SECRET: Final = "secret"  # noqa: S105 - a name
"""Setting: as in `RenderContext`."""


@dataclass(frozen=True, slots=True)
class Portico:
    """A whole daemon, put together and not yet running."""

    changes: Changes
    in_force: InForce
    intent: Intent
    keeper: CertificateLoop
    loop: ReconcileLoop
    moving: Migration
    nginx: NginxProgram
    observed: Observed
    operations: Operations
    ownership: Ownership
    safe_mode: SafeMode
    supervision: Supervision
    tasks: Tasks
    troubles: Troubles
    upkeep: Housekeeping
    watched: Callable[[], Collection[int]]
    """The pids of children that somebody waits for."""
    watching: FileWatches


async def assemble(  # noqa: PLR0915 - a statement for each part
    home: Home,
    state: SqliteState,
    clock: Clock,
    group: asyncio.TaskGroup,
    mode: Mode,
    deaths: int,
) -> Portico:
    """Open the state, begin to answer nginx, and connect everything; nothing changes yet."""
    ports, troubles = LinuxPorts(clock), Troubles()
    tasks, safe_mode = Tasks(group, troubles, clock), SafeMode(deaths, troubles)
    discovery = await _discovery(home, state, clock)

    def bootstrap_peers() -> Mapping[str, str]:
        """The peers that discovery hands out, or will as soon as it is asked."""
        (desired, _), world = intent.wanted(), observed.now()
        instances = world.by_app()
        return bootstrap_files(
            {
                name: endpoints_of(app, instances[name], world.now)
                for name, app in desired.apps.items()
            }
        )

    start_program = start_program_of(os.environ)  # noqa: TID251 - set by our own unit
    nginx = NginxProgram(
        home,
        ports,
        bootstrap_peers=bootstrap_peers,
        start_program=start_program,
        held=discovery.held,
    )
    logs = FileLogs(home.logs)
    paths = NoticePaths(str(home.notify), str(home.send), str(home.preload))
    processes = LinuxProcesses(home.logs, clock, paths, start_program)
    places = TrustStores.find(os.environ)  # noqa: TID251 - whose browsers are to trust us
    sites = Visitor()
    certificates = CertificateChild(home, sys.executable, clock, places)
    intent = Intent(state, nginx)
    observed = Observed(state, clock, discovery, nginx, ports)
    gauges = MemoryUse(intent, clock=clock, processes=processes)
    timetable = Timetable(intent, clock, time_zone)
    most_starting = STARTS_PER_CORE * _cores()

    async def observe() -> World:
        await supervision.digest()
        await asyncio.sleep(0)
        intent.write_again()
        if not safe_mode.is_on:
            with troubles.fence("file watches at start"):
                await watching.begin()
        world = replace(await observed.look(), most_starting=most_starting)
        with troubles.fence("memory of instances"):
            world = await gauges.read(world)
        with troubles.fence("schedules"):
            return replace(world, due=timetable.due())
        return world

    def failed(step: Step, error: Exception) -> None:
        of = str(getattr(step, "instance", "") or getattr(step, "app", ""))
        if isinstance(error, PorticoError):
            troubles.report(str(step), str(error), of=of)
        else:
            troubles.unforeseen(str(step), str(step), error, of=of)

    async def perform(step: Step) -> None:
        await execute(step)

    async def reserve(steps: Sequence[StartInstance]) -> None:
        await execute.reserve(steps)

    loop = ReconcileLoop(clock, intent.wanted, observe, perform, failed, reserve)
    notices = UnixNotices()
    readiness = Readiness(observed, intent, loop.wake, clock=clock, notices=notices)
    with troubles.fence("notices"):
        await notices.open(paths, readiness.on_notice)
    ownership = Ownership(observed, loop.wake, clock=clock, processes=processes)
    supervision = Supervision(
        observed,
        intent,
        tasks,
        loop.wake,
        clock=clock,
        logs=logs,
        ports=ports,
        liveness=Liveness(
            observed,
            intent,
            tasks,
            loop.wake,
            clock=clock,
            ownership=ownership,
            probes=LoopbackProbes(),
            processes=processes,
            safe_mode=safe_mode,
        ),
        ownership=ownership,
        processes=processes,
        readiness=readiness,
    )
    execute = Executor(
        observed,
        intent,
        supervision.spawn,
        troubles,
        tasks,
        loop.wake,
        clock=clock,
        nginx=nginx,
        ports=ports,
        processes=processes,
        state=state,
    )
    workers = await user_of_workers(start_program) if os.geteuid() == 0 else ""
    machine = _machine(home, discovery.address, workers, _secret(state))
    host_checks = HostChecks(
        processes,
        ports,
        nginx,
        certificates,
        instances=lambda: observed.instances,
        in_force=lambda: intent.desired,
        workers=workers,
    )
    lineages = DiskLineages(home, certificates, clock)
    with troubles.fence("certificates on disk"):
        for name, wrong in (await lineages.load()).items():
            troubles.report(f"certificate {name}", wrong, of=f"certificate {name}")
    passage = AlpnPassthrough()
    issued = IssuedFiles(state, lineages, passage)
    prepare = partial(
        Preparation,
        machine,
        nginx,
        certificates,
        host_checks,
    )
    preparation = prepare(issued)
    in_force = InForce(intent, observed, loop, preparation, troubles, clock=clock)
    changes = Changes(tasks, clock)
    exposure = Exposure(intent, observed, ports, root=machine.root)
    report = StatusReport(
        intent,
        observed,
        troubles,
        lambda: supervision.last_words,
        _daemon(home, mode),
        issued,
        clock=clock,
        logs=logs,
        exposure=exposure,
        says=readiness.status_text,
        next_run=timetable.next,
        noted=ownership.note,
        processes=processes,
    )
    deploying = Deployment(
        intent,
        in_force,
        clock=clock,
        hooks=HookRunner(start_program),
        lineages=lineages,
        sites=sites,
        state=state,
    )
    keeper = CertificateLoop(
        intent,
        in_force,
        deploying,
        troubles,
        tasks,
        authorities=Authorities(
            home.certificates, sys.executable, answers(str(home.path)), start_program
        ),
        passage=passage,
        clock=clock,
        lineages=lineages,
        state=state,
    )
    moving = Migration(
        intent,
        keeper,
        troubles,
        clock=clock,
        lineages=lineages,
        others=CertbotBridge(lineages, certificates, account_key(home.certificates)),
        state=state,
    )
    scratch = DiskLineages(Home(home.certificates / "scratch"), certificates, clock)
    trying = DryRun(
        intent, keeper, prepare(ScratchFiles(scratch, issued)), nginx=nginx, scratch=scratch
    )
    settling = Convergence(intent, observed, loop, report, clock=clock, nginx=nginx, sites=sites)
    operations = Operations(
        intent,
        observed,
        loop,
        changes,
        preparation,
        in_force,
        report,
        settling,
        keeper,
        moving,
        trying,
        safe_mode,
        certificates=certificates,
        clock=clock,
        logs=logs,
        state=state,
    )
    watching = FileWatches(
        intent,
        troubles,
        operations.reload,
        clock=clock,
        files=NotifiedFiles(),
        home=str(home.path),
    )
    state.tell(partial(troubles.report, "state"))
    return Portico(
        changes,
        in_force,
        intent,
        keeper,
        loop,
        moving,
        nginx,
        observed,
        operations,
        ownership,
        safe_mode,
        supervision,
        tasks,
        troubles,
        Housekeeping(
            intent,
            observed,
            troubles,
            clock=clock,
            disks=MountedDisks(home.path),
            logs=logs,
            nginx=nginx,
            exposure=exposure,
            unreadable=host_checks.unreadable,
        ),
        processes.watched,
        watching,
    )


async def _discovery(home: Home, state: SqliteState, clock: Clock) -> Responder:
    own, folder = own_loopbacks(home.path), home.nginx.resolve()
    remembered = await asyncio.to_thread(discovery_of, folder)
    if not remembered and (port := state.setting(DISCOVERY_PORT)):
        remembered = f"{own[0]}:{port}"
    responder = await Responder.open(
        clock,
        remembered,
        own,
        below=unprivileged_from() if os.geteuid() == 0 else 0,
        users=partial(users_of, folder),
    )
    if remembered and responder.address != remembered:
        log.warning(
            "cannot answer nginx on %s: another program took that port; answering on %s, for "
            "the next nginx",
            remembered,
            responder.address,
        )
    return responder


def _secret(state: SqliteState) -> str:
    secret = state.setting(SECRET) or token_hex(16)
    with suppress(Failed):  # a full disk: another daemon makes another one
        state.put_setting(SECRET, secret)
    return secret


def _machine(home: Home, resolver: str, workers: str, secret: str) -> Machine:
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    # nginx's master opens a log a site, and inherits what may be open at a time from here.
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    return Machine(
        str(home.path),
        cores=_cores(),
        root=os.geteuid() == 0,
        workers=workers,
        secret=secret,
        open_files=most_files if most_files > 0 else 65536,
        resolver=resolver,
        nameservers=nameservers(),
        ipv6=speaks_ipv6(),
        hosts=hosts(),
        authorities=authorities(),
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _daemon(home: Home, mode: Mode) -> DaemonView:
    return DaemonView(
        pid=os.getpid(),
        version=__version__,
        memory_bytes=0,
        home=str(home.path),
        uptime_s=0.0,
        mode=mode,
    )
