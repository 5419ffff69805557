"""Other programs that keep certificates on this machine. Implements `ports.Others`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from portico.core.model.certificate import Certificate
from portico.core.model.renewers import CertbotImport, Renewer
from portico.errors import Failed, Refused
from portico.importers.certbot_export import export
from portico.importers.certbot_taking import CertbotImporter
from portico.importers.renewers import find_renewers
from portico.ports.certificates import Called, Certificates, Lineages
from portico.system.rights import other_writer


class CertbotBridge:
    def __init__(
        self,
        lineages: Lineages,
        certificates: Certificates,
        account_key: Path,
        root: Path = Path("/"),
    ) -> None:
        """`root` is the folder that the system's own are in."""
        self._taking = CertbotImporter(lineages, certificates, account_key)
        self._root = root

    async def take(self, folder: str, called: Called) -> CertbotImport:
        await asyncio.to_thread(_assert_only_roots, folder)
        return await self._taking.take(Path(folder), called)

    async def give(self, folder: str, certificates: Sequence[Certificate]) -> Mapping[str, str]:
        await asyncio.to_thread(_assert_only_roots, folder)
        try:
            names = await asyncio.to_thread(export, Path(folder), certificates)
        except OSError as error:
            raise Failed(
                f"cannot write {error.filename}: {error.strerror}; certbot's folder is unchanged"
            ) from error
        return {each.lineage: name for each, name in zip(certificates, names, strict=True)}

    async def renewers(self) -> list[Renewer]:
        return await asyncio.to_thread(find_renewers, self._root)


def _assert_only_roots(folder: str) -> None:
    """Root would read and write wherever links of another user lead."""
    if writer := other_writer(folder):
        raise Refused(
            f"cannot use {folder}: {writer} can change it or a folder above it; nothing was "
            "changed. Use a copy in a folder that only root can write"
        )
