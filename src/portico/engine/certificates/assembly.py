"""The parts that keep certificates, connected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from portico.engine.certificates.alpn_passthrough import AlpnPassthrough
from portico.engine.certificates.deployment import Deployment
from portico.engine.certificates.dry_run import DryRun, ScratchFiles
from portico.engine.certificates.loop import CertificateLoop, IssuedFiles
from portico.engine.certificates.migration import Migration
from portico.engine.in_force import InForce
from portico.engine.intent import Intent
from portico.engine.prepare import Issued, Preparation
from portico.engine.tasks import Tasks
from portico.engine.troubles import Troubles
from portico.ports.certificates import Authorities, Certbot, Hooks, Lineages
from portico.ports.clock import Clock
from portico.ports.nginx import Nginx, Sites
from portico.ports.state import State


@dataclass(frozen=True, slots=True)
class CertificateParts:
    dry_run: DryRun
    loop: CertificateLoop
    migration: Migration


def assemble_certificates(  # noqa: PLR0913 - what is known, and the ports to the outside
    intent: Intent,
    in_force: InForce,
    issued: IssuedFiles,
    prepare: Callable[[Issued], Preparation],
    tasks: Tasks,
    troubles: Troubles,
    *,
    authorities: Authorities,
    certbot: Certbot,
    clock: Clock,
    hooks: Hooks,
    lineages: Lineages,
    nginx: Nginx,
    passthrough: AlpnPassthrough,
    scratch: Lineages,
    sites: Sites,
    state: State,
) -> CertificateParts:
    """`scratch` holds what a dry run obtains, and `prepare` renders with it."""
    deployment = Deployment(
        intent,
        in_force,
        clock=clock,
        hooks=hooks,
        lineages=lineages,
        sites=sites,
        state=state,
    )
    loop = CertificateLoop(
        intent,
        in_force,
        deployment,
        troubles,
        tasks,
        authorities=authorities,
        passage=passthrough,
        clock=clock,
        lineages=lineages,
        state=state,
    )
    migration = Migration(
        intent, loop, troubles, clock=clock, lineages=lineages, others=certbot, state=state
    )
    preparation = prepare(ScratchFiles(scratch, issued))
    dry_run = DryRun(intent, loop, preparation, nginx=nginx, scratch=scratch)
    return CertificateParts(dry_run, loop, migration)
