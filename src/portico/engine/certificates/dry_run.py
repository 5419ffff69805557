"""Renews for show: on staging, into a scratch folder, past `nginx -t`. What is served stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from portico.core.model.certificate import STAGING_LIMITS, Issuer, Lineage, Provenance
from portico.core.model.names import folder_name
from portico.core.planning.served_certificates import ServedCertificates
from portico.engine.certificates.issued_files import IssuedFiles
from portico.engine.certificates.loop import CertificateLoop
from portico.engine.changes import Change
from portico.engine.intent import Intent
from portico.engine.prepare import Preparation
from portico.errors import Failed, PorticoError, Refused
from portico.ports.certificates import Lineages
from portico.ports.nginx import Nginx


class ScratchFiles:
    """What nginx would be given. Implements `site_certificates.CertificateSource`."""

    def __init__(self, scratch: Lineages, issued: IssuedFiles) -> None:
        self._scratch, self._issued = scratch, issued

    def served_certificates(self) -> ServedCertificates:
        found = ((name, self._scratch.current(name)) for name in self._scratch.names())
        tried = {name: replace(each, staging=False) for name, each in found if each}
        return ServedCertificates({**self._issued.current(), **tried}, self._issued.now())

    def thumbprint(self) -> str:
        return self._issued.thumbprint()

    def answers_any_token(self) -> bool:
        return self._issued.answers_any_token()

    def asked_by_alpn(self) -> bool:
        return self._issued.asked_by_alpn()


class DryRun:
    """`scratch` holds what is obtained meanwhile, and `preparation` renders with it."""

    def __init__(
        self,
        intent: Intent,
        loop: CertificateLoop,
        preparation: Preparation,
        *,
        nginx: Nginx,
        scratch: Lineages,
    ) -> None:
        self._intent, self._loop, self._preparation = intent, loop, preparation
        self._nginx, self._scratch = nginx, scratch
        self._one_at_a_time = asyncio.Lock()

    async def renew(self, name: str | None, change: Change) -> None:
        """Failed if any of it would fail; Refused where there is nothing to try it on."""
        lineages = self._loop.select(await self._loop.wanted_lineages(), name)
        async with self._one_at_a_time, self._empty_scratch():
            tried, troubles = await self._obtain(lineages, change)
            if any(lineage.behind_nginx for lineage in tried):
                change.say(await self._ask_nginx())
        if troubles:
            raise Failed("\n".join(troubles))
        if not tried:
            raise Refused("nothing to try: no certificate has a staging directory")
        change.say("served certificates, stored files and rate limits are unchanged")

    async def _obtain(
        self, lineages: Sequence[Lineage], change: Change
    ) -> tuple[list[Lineage], list[str]]:
        tried, troubles = [], []
        await self._loop.prepare_to_obtain(
            [each for each in lineages if _staging(each.issuers[0])], change
        )
        for lineage in lineages:
            issuer = lineage.issuers[0]
            staging = _staging(issuer)
            if staging is None:
                change.say(
                    f"{lineage.name}: not tried: {issuer.directory} has no known staging "
                    "directory; set `staging`"
                )
                continue
            try:
                self._loop.assert_obtained_here(lineage, "try")
                await self._try(lineage, staging)
            except PorticoError as error:
                troubles.append(f"{lineage.name}: {error}")
            else:
                tried.append(lineage)
                change.say(f"{lineage.name}: {staging.directory} issued a certificate")
        return tried, troubles

    async def _try(self, lineage: Lineage, staging: Issuer) -> None:
        if lineage.problem:
            raise Failed(lineage.problem)
        order = f"{folder_name(lineage.name)}.trial"
        async with self._loop.account.in_use_by(lineage.name):
            obtained = await self._loop.issuance.order_for_trial(lineage, staging, order)
        about = Provenance(staging.directory, lineage.profile_at(staging), staging=True)
        stored = await self._scratch.store(
            lineage.name, lineage.names, obtained.chain, obtained.key, about
        )
        await self._scratch.switch(lineage.name, stored.generation)
        await self._loop.issuance.forget_trial(order)

    async def _ask_nginx(self) -> str:
        if not self._intent.revisions:
            raise Failed("no file is in force")
        candidate = await self._preparation.resume(self._intent.inputs())
        tested = await self._nginx.install(candidate.files, candidate.fingerprint, candidate.build)
        await self._nginx.discard(tested)
        return "nginx -t accepts the configuration"

    @asynccontextmanager
    async def _empty_scratch(self) -> AsyncIterator[None]:
        """A scratch folder that is empty before and after, whatever an earlier run has left."""
        await self._scratch.load()
        try:
            await self._remove_all()
            yield
        finally:
            await self._remove_all()

    async def _remove_all(self) -> None:
        for name in self._scratch.names():
            await self._scratch.remove(name)


def _staging(issuer: Issuer) -> Issuer | None:
    if issuer.is_staging:
        return issuer
    if issuer.staging is None:
        return None
    return replace(
        issuer, directory=issuer.staging, staging=None, limits=STAGING_LIMITS, is_staging=True
    )
