"""The one place that knows which adapter stands behind which port: `assembly/` has a file for each
part.

`lazy_parts.py` has those that most daemons never ask, `machine.py` what is found out at the start.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from portico.adapters.probes.remote import RemoteServers
from portico.adapters.state.sqlite import SqliteState
from portico.daemon.assembly.certificates import connect_certificates
from portico.daemon.assembly.control import ControlParts, connect_control
from portico.daemon.assembly.engine import (
    assemble_engine,
    bootstrap_peers,
    executor_of,
    file_watches_of,
    observer_of,
    open_instances,
)
from portico.daemon.assembly.periodic import PeriodicParts, assemble_periodic
from portico.daemon.assembly.preparation import assemble_preparation
from portico.daemon.assembly.programs import ProgramAdapters, assemble_programs
from portico.daemon.lazy_parts import machines_listener, neighbourhood_of, totals_of
from portico.daemon.machine import Mode
from portico.engine.certificates.assembly import CertificateParts
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.engine.instances.assembly import Instances
from portico.engine.instances.file_watches import FileWatches
from portico.engine.server_checks import ServerChecks
from portico.ports.clock import Clock
from portico.system.home import Home

if TYPE_CHECKING:
    from portico.api.machines_listener import MachinesListener
    from portico.engine.cluster.cluster_store import ClusterStore
    from portico.engine.cluster.neighbourhood import Neighbourhood
    from portico.engine.cluster.totals import Totals


@dataclass(frozen=True, slots=True)
class Portico:
    """A whole daemon, put together and not yet running."""

    certificates: CertificateParts
    control: ControlParts
    engine: Engine
    in_force: InForce
    instances: Instances
    machines: MachinesListener | None
    """As `neighbourhood`."""
    neighbourhood: Neighbourhood | None
    """None on a machine that is in no cluster."""
    periodic: PeriodicParts
    programs: ProgramAdapters
    shared: ClusterStore | None
    """None where the cluster has no store."""
    totals: Totals | None
    """As `neighbourhood`."""
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
    programs = await assemble_programs(home, state, clock, lambda: bootstrap_peers(engine))
    engine = assemble_engine(
        state,
        clock,
        group,
        deaths,
        programs,
        observer=lambda: observer,
        executor=lambda: executor,
        api=lambda: control.api,
    )
    instances = await open_instances(engine, programs)
    server_checks = ServerChecks(engine, RemoteServers())
    neighbourhood = neighbourhood_of(engine, home)
    executor = executor_of(engine, programs, instances, neighbourhood)
    prepared = await assemble_preparation(engine, programs, home)
    certificates, shared = connect_certificates(engine, home, programs, prepared, neighbourhood)
    control = connect_control(
        engine,
        home,
        programs,
        prepared,
        instances,
        certificates,
        mode=mode,
        neighbourhood=neighbourhood,
        server_checks=server_checks,
        shared=shared,
    )
    operations, workers = control.operations, prepared.machine.workers
    watches = file_watches_of(engine, operations, home)
    observer = observer_of(engine, instances, watches, server_checks, neighbourhood)
    state.report_to(partial(engine.troubles.report, "state"))
    return Portico(
        certificates,
        control,
        engine,
        prepared.in_force,
        instances,
        machines_listener(engine, home, neighbourhood, shared, operations, workers),
        neighbourhood,
        assemble_periodic(engine, home, programs, prepared, control),
        programs,
        shared,
        totals_of(engine, prepared.in_force, neighbourhood),
        watches,
    )
