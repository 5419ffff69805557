"""Imports certificates from certbot: copies and checks them, and ends their renewal there."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from portico.core.model.certificate import Certificate, Provenance
from portico.core.model.pair import Facts, OwnPair
from portico.core.model.renewers import CertbotImport, ImportedLineage
from portico.errors import Failed, PorticoError
from portico.importers.certbot import (
    CertbotAccount,
    CertbotFolder,
    CertbotLineage,
    read_folder,
)
from portico.importers.certbot_writing import leave_alone, without_certbot
from portico.ports.certificates import Called, Certificates, Lineages
from portico.system import files
from portico.system.text import read_text


class CertbotImporter:
    """`account_key` is where the key of our accounts lies, or will."""

    def __init__(self, lineages: Lineages, certificates: Certificates, account_key: Path) -> None:
        self._lineages, self._certificates = lineages, certificates
        self._account_key = account_key

    async def take(self, folder: Path, called: Called) -> CertbotImport:
        """As `CertbotBridge.take`. What cannot be imported is reported, and certbot keeps it."""
        found = await asyncio.to_thread(read_folder, folder)
        with without_certbot(folder):
            return await self._take_all(found, called)

    async def _take_all(self, found: CertbotFolder, called: Called) -> CertbotImport:
        taken = CertbotImport(skipped=list(found.troubles))
        pairs = [OwnPair(str(each.chain), str(each.key), ()) for each in found.lineages]
        older = [
            OwnPair(str(chain), str(key), ())
            for each in found.lineages
            for chain, key in each.archive
        ]
        facts = await self._certificates.inspect([*pairs, *older])
        known = dict(zip((pair.certificate for pair in older), facts[len(pairs) :], strict=True))
        for lineage, fact in zip(found.lineages, facts, strict=False):
            signed = _starts_by_serial(
                [fact, *(known[str(chain)] for chain, _ in lineage.archive)]
            )
            try:
                taken.lineages.append(await self._take(lineage, fact, called, signed))
            except (OSError, PorticoError) as error:
                taken.skipped.append(f"{lineage.name}: {error}")
        await self._take_account(found, taken)
        return taken

    async def _take(
        self, lineage: CertbotLineage, facts: Facts, called: Called, signed: Mapping[str, float]
    ) -> ImportedLineage:
        if facts.problems:
            raise Failed("; ".join(facts.problems))
        name = called(facts.names) or own_name(lineage.name, facts.names)
        notes = list(lineage.notes)
        held = self._lineages.held(name)
        if held and set(held.names) != set(facts.names):
            raise Failed(f"{name} already has a certificate here, for {', '.join(held.names)}")
        if held and held.not_before > facts.not_before:
            notes.append("the certificate here is newer and was kept")
        else:
            await self._store(name, lineage, facts)
        await asyncio.to_thread(leave_alone, lineage.conf)
        return ImportedLineage(
            name, facts.names, lineage.server, lineage.settings, signed, tuple(notes)
        )

    async def _store(self, name: str, lineage: CertbotLineage, facts: Facts) -> Certificate:
        profile = lineage.settings.get("profile")
        about = Provenance(
            lineage.server, str(profile) if profile else None, "staging" in lineage.server
        )
        chain = await asyncio.to_thread(read_text, lineage.chain)
        stored = await self._lineages.store(name, facts.names, chain, str(lineage.key), about)
        if self._lineages.current(name) is None:
            await self._lineages.switch(name, stored.generation)
        return stored

    async def _take_account(self, found: CertbotFolder, taken: CertbotImport) -> None:
        """The one of most certificates: authorities know what is ours by it."""
        by_account = [(each.account, each.server) for each in found.lineages if each.account]
        if not by_account:
            return
        account, server = max(by_account, key=by_account.count)
        try:
            pem = await self._certificates.account_key(account.key)
            if await asyncio.to_thread(_is_same_key, pem, self._account_key):
                return
            await asyncio.to_thread(_write_account, self._account_key, pem, account, server)
        except FileExistsError:
            taken.notes.append("certbot's account is not imported: there already is an account")
        except (OSError, PorticoError) as error:
            taken.notes.append(f"the account {account.url} is not imported: {error}")
        else:
            taken.account = account.url


def own_name(lineage: str, names: Sequence[str]) -> str:
    """A site is called by one of its names; certbot's `-0001` says that it had one already."""
    plain = re.sub(r"-[0-9]{4}$", "", lineage)
    found = [name for name in names if name.removeprefix("*.") == plain]
    return min(found or names, key=lambda name: (name.startswith("*."), len(name)))


def _starts_by_serial(all_facts: Sequence[Facts]) -> dict[str, float]:
    return {facts.serial: facts.not_before for facts in all_facts if facts.serial}


def _is_same_key(pem: str, key: Path) -> bool:
    return key.exists() and key.read_bytes() == pem.encode()


def _write_account(key: Path, pem: str, account: CertbotAccount, server: str) -> None:
    """Raises FileExistsError where there is a key: it may have an account already."""
    key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = key.with_name(f".{key.name}.new")
    new.unlink(missing_ok=True)
    files.write_new(new, pem)
    try:
        key.hardlink_to(new)
    finally:
        new.unlink()
    if account.url:
        files.write(key.with_suffix(".json"), json.dumps({server: account.url}))
    files.sync_folder(key.parent)
