"""What a file is checked and rendered with, before anything of it is in force."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from portico.adapters.certificates.issuing import CertificateChild
from portico.adapters.certificates.trust import TrustStores
from portico.adapters.lineages.disk import DiskLineages
from portico.adapters.nginx.workers import user_of_workers
from portico.daemon.assembly.programs import ProgramAdapters
from portico.daemon.lazy_parts import edge_file, own_machine
from portico.daemon.machine import secret_of, this_machine
from portico.engine.certificates.alpn_passthrough import AlpnPassthrough
from portico.engine.certificates.issued_files import IssuedFiles
from portico.engine.certificates.stored_files import report_files
from portico.engine.client_files import ClientFiles
from portico.engine.engine import Engine
from portico.engine.host_checks import HostChecks
from portico.engine.in_force import InForce
from portico.engine.inputs import Machine
from portico.engine.prepare import LocalSettings, Preparation
from portico.engine.settings import selected_nginx
from portico.engine.site_certificates import CertificateSource
from portico.system.home import Home


@dataclass(frozen=True, slots=True)
class PreparationParts:
    client_files: ClientFiles
    host_checks: HostChecks
    in_force: InForce
    issued: IssuedFiles
    lineages: DiskLineages
    local: CertificateChild
    machine: Machine
    passthrough: AlpnPassthrough
    prepare: Callable[[CertificateSource], Preparation]
    """Makes another one, with other certificates."""


async def assemble_preparation(
    engine: Engine, programs: ProgramAdapters, home: Home
) -> PreparationParts:
    stores = TrustStores.find(os.environ)  # noqa: TID251 - whose browsers are to trust us
    local = CertificateChild(home, sys.executable, engine.clock, stores)
    lineages = await _lineages(engine, home, local)
    workers = await user_of_workers(programs.start_program) if os.geteuid() == 0 else ""
    machine = this_machine(home, programs.discovery.address, workers, secret_of(engine.state))
    host_checks, client_files = _host_checks(engine, programs, local, workers), ClientFiles()
    prepare = partial(
        Preparation,
        machine,
        programs.nginx,
        local,
        host_checks,
        client_files=client_files,
        settings=LocalSettings(
            edge_file=partial(edge_file, home),
            selected_nginx=partial(selected_nginx, engine.state),
            identity=partial(own_machine, home),
        ),
    )
    passthrough = AlpnPassthrough()
    issued = IssuedFiles(engine.state, lineages, passthrough, engine.clock)
    return PreparationParts(
        client_files,
        host_checks,
        InForce(engine, prepare(issued)),
        issued,
        lineages,
        local,
        machine,
        passthrough,
        prepare,
    )


async def _lineages(engine: Engine, home: Home, local: CertificateChild) -> DiskLineages:
    lineages = DiskLineages(home, local, engine.clock)
    with engine.troubles.fence("certificates on disk"):
        for name, wrong in (await lineages.load()).items():
            report_files(engine.troubles, name, wrong)
    return lineages


def _host_checks(
    engine: Engine, programs: ProgramAdapters, local: CertificateChild, workers: str
) -> HostChecks:
    return HostChecks(
        programs,
        local,
        instances=lambda: engine.observed.instances,
        in_force=lambda: engine.intent.desired,
        workers=workers,
    )
