"""Which certificates nginx is given for each site: operators' own ones, those of authorities, and
for what nothing else covers those of the local authority.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from portico.core.model.desired import Desired
from portico.core.model.pair import OwnPair
from portico.core.model.place import CertificateFiles, ExtraCertificate
from portico.core.planning.lineages import lineage_names
from portico.core.planning.own_pairs import own_pairs
from portico.core.planning.served_certificates import CertifiedNames, ServedCertificates
from portico.ports.certificates import Certificates


class CertificateSource(Protocol):
    """What certificate authorities have signed for us, and the answer they ask us for."""

    def served_certificates(self) -> ServedCertificates:
        """Of what nginx may be given now."""

    def thumbprint(self) -> str: ...

    def answers_any_token(self) -> bool: ...

    def asked_by_alpn(self) -> bool: ...


class SiteCertificates:
    def __init__(self, certificates: Certificates, issued: CertificateSource) -> None:
        self._certificates, self._issued = certificates, issued

    async def of_sites(
        self, desired: Desired, *, make: bool
    ) -> Mapping[str, Sequence[ExtraCertificate]]:
        """Each site's pairs: its own, or those of authorities, or one of the local authority for
        names that nothing else covers; those of its first name first. Without `make` the files
        are named and not made.
        """
        own = await self._own_certificates(desired, make=make)
        served = self._issued.served_certificates()
        parts: dict[str, list[CertifiedNames]] = {}
        for name, site in desired.sites.items():
            if site.https and name not in own:
                names, lineages = (name, *site.aliases), lineage_names(desired, name)
                parts[name] = served.of_site(names, lineages)
        local = {
            name: (name, *desired.sites[name].aliases)
            for name, each in parts.items()
            if not all(part.certificates for part in each)
        }
        made = (
            await self._certificates.local(local)
            if make
            else self._certificates.expected_files(local)
        )
        return {name: [ExtraCertificate((), pairs)] for name, pairs in own.items()} | {
            name: [ExtraCertificate(part.names, _files(part) or (made[name],)) for part in each]
            for name, each in parts.items()
        }

    async def _own_certificates(
        self, desired: Desired, *, make: bool
    ) -> dict[str, tuple[CertificateFiles, ...]]:
        """Of each site that brings its own; one of which nothing can be used is not among them."""
        pairs = own_pairs(desired)
        if not pairs:
            return {}
        files: Mapping[OwnPair, CertificateFiles | None]
        if make:
            copies = await self._certificates.own_copies(list(pairs))
            files = {pair: copy.files for pair, copy in copies.items()}
        else:
            files = await asyncio.to_thread(self._certificates.expected_own_copies, list(pairs))
        return {
            site: (found,)
            for pair, sites in pairs.items()
            if (found := files[pair])
            for site in sites
        }


def _files(part: CertifiedNames) -> tuple[CertificateFiles, ...]:
    return tuple(each.files for each in part.certificates)
