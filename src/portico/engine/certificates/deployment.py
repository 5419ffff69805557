"""Gives nginx new certificates, and believes each when every listener was seen to serve it."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from portico.core.model.certificate import Certificate, Lineage, is_rsa
from portico.core.model.moments import moment
from portico.core.planning import renewal_state
from portico.core.planning.renewal_state import Attempt
from portico.core.planning.served_certificates import covers
from portico.engine.certificates.deploy_hooks import DeployHooks
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.errors import Failed, PorticoError
from portico.ports.certificates import Lineages
from portico.ports.nginx import Sites
from portico.system.text import read_text

log = logging.getLogger(__name__)

MAX_HANDSHAKES: Final = 8
"""At a time."""


@dataclass(frozen=True, slots=True, eq=False)
class _NewCertificate:
    """A certificate that is to be in use for its lineage."""

    lineage: Lineage
    held: Certificate


class Deployment:
    def __init__(
        self,
        engine: Engine,
        in_force: InForce,
        hooks: DeployHooks,
        *,
        lineages: Lineages,
        sites: Sites,
    ) -> None:
        self._intent, self._in_force = engine.intent, in_force
        self._clock, self._state, self._events = engine.clock, engine.state, engine.events
        self.hooks, self._lineages, self._sites = hooks, lineages, sites
        self._handshakes = asyncio.Semaphore(MAX_HANDSHAKES)

    async def deploy(self, lineages: Iterable[Lineage]) -> Mapping[str, Exception]:
        """Give nginx the newest certificates of all these, by one reload, and see every listener
        serve each. Of one that is not served the one before is put back, and of no other.

        Returns what went wrong, by lineage.
        """
        held = [(each, self._lineages.held(each.name)) for each in lineages]
        new = [
            _NewCertificate(lineage, certificate) for lineage, certificate in held if certificate
        ]
        errors: dict[str, Exception] = {}
        for each in new:
            if not each.lineage.behind_nginx:
                errors |= await self._switch([each])
        if behind := [each for each in new if each.lineage.behind_nginx]:
            errors |= await self._switch(behind)
        return errors

    async def _switch(self, batch: Sequence[_NewCertificate]) -> dict[str, Exception]:
        try:
            for new in batch:
                await self._lineages.switch(new.lineage.name, new.held.generation)
            await self._render(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is recorded and returned
            return await self._without_refused(batch, error)
        proofs = await asyncio.gather(*map(self._verify, batch), return_exceptions=True)
        failed = {
            new: proof
            for new, proof in zip(batch, proofs, strict=True)
            if isinstance(proof, Exception)
        }
        return await self._give_up(failed) if failed else {}

    async def _without_refused(
        self, batch: Sequence[_NewCertificate], error: Exception
    ) -> dict[str, Exception]:
        """Find the one to blame by halves, if there is one: without all these nginx is content."""
        middle = len(batch) // 2
        if not middle or await self._put_back(batch, refused=True):
            return await self._give_up(dict.fromkeys(batch, error), refused=True)
        return await self._switch(batch[:middle]) | await self._switch(batch[middle:])

    async def _give_up(
        self, failed: Mapping[_NewCertificate, Exception], *, refused: bool = False
    ) -> dict[str, Exception]:
        # First of all they wait their time: putting back may fail too.
        for new, error in failed.items():
            renewal = self._state.renewal_state(new.lineage.name)
            attempt = Attempt(new.held, self._clock.now(), self._clock.jitter())
            self._state.put_renewal_state(renewal_state.not_deployed(renewal, str(error), attempt))
        worse = await self._put_back(tuple(failed), refused=refused)
        return {
            new.lineage.name: worse or _error_text(new, error) for new, error in failed.items()
        }

    async def _put_back(
        self, batch: Sequence[_NewCertificate], *, refused: bool
    ) -> Exception | None:
        """What went wrong. A first certificate that nginx takes stays: there is none better."""
        try:
            for new in batch:
                name = new.lineage.name
                if self._lineages.current(name) != new.held:
                    continue
                if await self._lineages.put_back(name) is None and refused:
                    await self._lineages.withdraw(name)
            await self._render(batch)
        except Exception as error:  # noqa: BLE001 - it is returned
            return error
        return None

    async def _render(self, batch: Sequence[_NewCertificate]) -> None:
        if any(new.lineage.behind_nginx for new in batch):
            await self._in_force.render_again()

    async def finish(self, lineage: Lineage) -> None:
        """Run the hooks of one that is served, and record it afterwards: a daemon that dies in
        between has them run again.
        """
        current = self._lineages.current(lineage.name)
        if current is None:  # it was removed meanwhile
            return
        await self.hooks.run(lineage, current)
        self._state.put_renewal_state(
            renewal_state.after_deployment(
                self._state.renewal_state(lineage.name), current.serial, self._clock.now()
            )
        )
        act = "obtained" if current.generation == 1 else "renewed"
        until = moment(current.not_after)
        self._events.note("certificate", lineage.name, f"{act}, valid until {until}")
        log.info("certificate %s: in use, serial %s", lineage.name, current.serial)

    async def _verify(self, new: _NewCertificate) -> None:
        lineage = new.lineage
        if not lineage.behind_nginx:
            return
        desired = self._intent.desired
        chain = await asyncio.to_thread(read_text, Path(new.held.files.certificate))
        expected = fingerprint_of(chain)
        proxied = any(s.real_ip and s.real_ip.proxy_protocol for s in desired.sites.values())
        for name in (each for each in lineage.names if covers(new.held.names, each)):
            async with self._handshakes:
                served = await self._sites.served_fingerprints(
                    name,
                    desired.listeners,
                    proxied=proxied,
                    rsa=is_rsa(lineage.key_type) if lineage.has_other_key_type else None,
                )
            if served != {expected}:
                raise Failed(f"TLS handshakes for {name} still return another certificate")


def _error_text(new: _NewCertificate, error: Exception) -> Exception:
    if not isinstance(error, PorticoError) or not new.lineage.behind_nginx:
        return error
    return Failed(f"the new certificate is not served: {error}")


def fingerprint_of(pem: str) -> str:
    """SHA-256 of the first certificate in a PEM text, as a handshake shows it."""
    body = pem.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END")[0]
    return sha256(base64.b64decode("".join(body.split()))).hexdigest()
