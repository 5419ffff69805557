"""What keeps certificates, connected; in a cluster with what its machines share."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from portico.adapters.hooks.runner import HookRunner
from portico.adapters.lineages.disk import DiskLineages
from portico.adapters.lineages.pem_files import DiskPemFiles
from portico.daemon.assembly.preparation import PreparationParts
from portico.daemon.assembly.programs import ProgramAdapters
from portico.daemon.lazy_parts import acme_authorities, certbot_bridge, lazy, shared_of, sharing_of
from portico.engine.certificates.assembly import (
    CertificateParts,
    CertificatePorts,
    assemble_certificates,
)
from portico.engine.engine import Engine
from portico.system.home import Home

if TYPE_CHECKING:
    from portico.engine.cluster.cluster_store import ClusterStore
    from portico.engine.cluster.neighbourhood import Neighbourhood


def connect_certificates(
    engine: Engine,
    home: Home,
    programs: ProgramAdapters,
    prepared: PreparationParts,
    neighbourhood: Neighbourhood | None,
) -> tuple[CertificateParts, ClusterStore | None]:
    """The store is as in `shared_of`."""
    authorities = lazy(partial(acme_authorities, home, programs.start_program))
    lineages, local, issued = prepared.lineages, prepared.local, prepared.issued
    shared = shared_of(
        engine,
        prepared.in_force,
        neighbourhood,
        home,
        lambda: sharing.answering_thumbprint() if sharing else "",
    )
    sharing = sharing_of(engine, home, shared, authorities, lineages, issued)
    parts = assemble_certificates(
        engine,
        prepared.in_force,
        issued,
        prepared.prepare,
        CertificatePorts(
            authorities=authorities,
            certbot=lazy(partial(certbot_bridge, home, lineages, local)),
            hooks=HookRunner(programs.start_program),
            lineages=lineages,
            local=local,
            nginx=programs.nginx,
            pem_files=DiskPemFiles(),
            scratch=DiskLineages(Home(home.certificates / "scratch"), local, engine.clock),
            sites=programs.sites,
        ),
        client_files=prepared.client_files,
        passthrough=prepared.passthrough,
        sharing=sharing,
    )
    return parts, shared
