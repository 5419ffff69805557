"""The parts that keep certificates, connected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from portico.engine.certificates.alpn_passthrough import AlpnPassthrough
from portico.engine.certificates.client_watch import ClientWatch
from portico.engine.certificates.deploy_hooks import DeployHooks
from portico.engine.certificates.deployment import Deployment
from portico.engine.certificates.dry_run import DryRun, ScratchFiles
from portico.engine.certificates.issued_files import IssuedFiles
from portico.engine.certificates.loop import CertificateLoop
from portico.engine.certificates.migration import Migration
from portico.engine.certificates.own_files import OwnFiles
from portico.engine.certificates.revocation import Revocation
from portico.engine.certificates.sharing import CertificateSharing
from portico.engine.certificates.stored_files import StoredFiles
from portico.engine.client_files import ClientFiles
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.engine.prepare import Preparation
from portico.engine.site_certificates import CertificateSource
from portico.ports.certificates import (
    Authorities,
    Certbot,
    Certificates,
    Hooks,
    Lineages,
    PemFiles,
)
from portico.ports.nginx import Nginx, Sites


@dataclass(frozen=True, slots=True)
class CertificatePorts:
    """What a certificate passes through outside the engine."""

    authorities: Authorities
    certbot: Certbot
    hooks: Hooks
    lineages: Lineages
    local: Certificates
    nginx: Nginx
    pem_files: PemFiles
    scratch: Lineages
    """What a dry run obtains."""
    sites: Sites


@dataclass(frozen=True, slots=True)
class CertificateParts:
    clients: ClientWatch
    dry_run: DryRun
    issued: IssuedFiles
    local: Certificates
    loop: CertificateLoop
    migration: Migration
    own: OwnFiles
    stored: StoredFiles
    revocation: Revocation


def assemble_certificates(  # noqa: PLR0913 - all of the engine that has to do with certificates
    engine: Engine,
    in_force: InForce,
    issued: IssuedFiles,
    prepare: Callable[[CertificateSource], Preparation],
    ports: CertificatePorts,
    *,
    client_files: ClientFiles,
    passthrough: AlpnPassthrough,
    sharing: CertificateSharing | None,
) -> CertificateParts:
    """`prepare` renders with what a dry run obtains."""
    authorities, lineages, local = ports.authorities, ports.lineages, ports.local
    deploy_hooks = DeployHooks(
        engine, hooks=ports.hooks, lineages=lineages, pem_files=ports.pem_files
    )
    deployment = Deployment(engine, in_force, deploy_hooks, lineages=lineages, sites=ports.sites)
    loop = CertificateLoop(
        engine,
        in_force,
        deployment,
        authorities=authorities,
        lineages=lineages,
        passthrough=passthrough,
        sharing=sharing,
    )
    if sharing:
        sharing.wake, sharing.is_busy = loop.wake, loop.account.is_in_use
    migration = Migration(engine, loop, lineages=lineages, certbot=ports.certbot)
    preparation = prepare(ScratchFiles(ports.scratch, issued))
    dry_run = DryRun(engine.intent, loop, preparation, nginx=ports.nginx, scratch=ports.scratch)
    own = OwnFiles(engine, in_force, local)
    revocation = Revocation(engine, loop, authorities=authorities, lineages=lineages)
    stored = StoredFiles(engine, in_force, lineages)
    clients = ClientWatch(engine, in_force, client_files)
    return CertificateParts(
        clients, dry_run, issued, local, loop, migration, own, stored, revocation
    )
