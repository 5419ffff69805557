"""Gives nginx a new certificate, and believes it only when every listener was seen to serve it."""

from __future__ import annotations

import asyncio
import base64
import logging
from hashlib import sha256
from pathlib import Path
from typing import Final

from portico.core.model.certificate import Certificate, Lineage, is_rsa
from portico.core.planning import renewal_state
from portico.engine.in_force import InForce
from portico.engine.intent import Intent
from portico.errors import Failed, PorticoError
from portico.ports.certificates import Hooks, Lineages
from portico.ports.clock import Clock
from portico.ports.nginx import Sites
from portico.ports.state import State
from portico.system.text import read_text

log = logging.getLogger(__name__)

HOOK_TIMEOUT: Final = 60.0


class Deployment:
    def __init__(  # noqa: PLR0913 - all that stands between a file and a handshake
        self,
        intent: Intent,
        in_force: InForce,
        *,
        clock: Clock,
        hooks: Hooks,
        lineages: Lineages,
        sites: Sites,
        state: State,
    ) -> None:
        self._intent, self._in_force = intent, in_force
        self._clock, self._hooks, self._lineages = clock, hooks, lineages
        self._sites, self._state = sites, state
        self._one_at_a_time = asyncio.Lock()

    async def deploy(self, lineage: Lineage) -> None:
        """Give nginx the newest certificate, and see every listener serve it; else the one
        before is put back.
        """
        held = self._lineages.held(lineage.name)
        if held is None:
            return
        if not lineage.behind_nginx:
            await self._lineages.switch(lineage.name, held.generation)
            await self._deployed(lineage, held)
            return
        async with self._one_at_a_time:
            try:
                await self._lineages.switch(lineage.name, held.generation)
                await self._in_force.render_again()
                await self._prove(lineage, held)
            except Exception as error:
                # First of all it waits its time: putting back may fail too.
                now, draw = self._clock.now(), self._clock.jitter()
                renewal = self._state.renewal_state(lineage.name)
                self._state.put_renewal_state(
                    renewal_state.not_deployed(renewal, str(error), held=held, now=now, draw=draw)
                )
                await self._lineages.put_back(lineage.name)
                await self._in_force.render_again()
                if not isinstance(error, PorticoError):
                    raise
                raise Failed(
                    f"the new certificate of {lineage.name} is not served: {error}"
                ) from error
        await self._deployed(lineage, held)

    async def _deployed(self, lineage: Lineage, held: Certificate) -> None:
        """Recorded after the hooks have run: a daemon that dies in between has them run again."""
        trouble = await self._run_hooks(lineage)
        self._state.put_renewal_state(
            renewal_state.deployed(self._state.renewal_state(lineage.name), held.serial)
        )
        log.info("certificate %s: in use, serial %s", lineage.name, held.serial)
        if trouble:
            raise Failed(f"the hook of {lineage.name} failed: {trouble}")

    async def _prove(self, lineage: Lineage, held: Certificate) -> None:
        desired, _ = self._intent.wanted()
        chain = await asyncio.to_thread(read_text, Path(held.files.certificate))
        expected = fingerprint_of(chain)
        proxied = any(s.real_ip and s.real_ip.proxy_protocol for s in desired.sites.values())
        for name in lineage.names:
            served = await self._sites.served(
                name,
                desired.listeners,
                proxied=proxied,
                rsa=is_rsa(lineage.key_type) if lineage.beside else None,
            )
            if served != {expected}:
                raise Failed(f"TLS handshakes for {name} still return another certificate")

    async def _run_hooks(self, lineage: Lineage) -> str:
        """What went wrong with the first that failed, after which none is run; else empty."""
        environ = {
            "RENEWED_LINEAGE": self._lineages.folder(lineage.name),
            "RENEWED_DOMAINS": " ".join(lineage.names),
        }
        for hook in lineage.hooks:
            trouble = await self._hooks.run(hook, environ, HOOK_TIMEOUT)
            result = trouble or "ended well"
            self._state.add_event(self._clock.now(), "hook", lineage.name, result)
            if trouble:
                return trouble
        return ""


def fingerprint_of(pem: str) -> str:
    """SHA-256 of the first certificate in a PEM text, as a handshake shows it."""
    body = pem.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END")[0]
    return sha256(base64.b64decode("".join(body.split()))).hexdigest()
