"""Takes certificates over from certbot: copied, checked, and then left alone over there."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from portico.core.model.certificate import About
from portico.errors import Failed, PorticoError
from portico.importers.certbot import (
    CertbotAccount,
    CertbotFolder,
    CertbotLineage,
    without_renewal,
)
from portico.ports import Certificates, Facts, Lineages, OwnPair


@dataclass(slots=True)
class Taken:
    """What has become of each of certbot's certificates."""

    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Of each lineage that was taken over, by the name that it has here."""
    settings: dict[str, Mapping[str, object]] = field(default_factory=dict)
    """What belongs into the table `[sites."NAME".tls]`, by the same name."""
    notes: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    account: str = ""
    """URL of the account that was taken over; empty if none was."""


class Taking:
    """`account_key` is where the key of our accounts lies, or will."""

    def __init__(self, lineages: Lineages, certificates: Certificates, account_key: Path) -> None:
        self._lineages, self._certificates = lineages, certificates
        self._account_key = account_key

    async def take(
        self, found: CertbotFolder, called: Callable[[Sequence[str]], str | None]
    ) -> Taken:
        """`called` knows the site that has exactly these names. What cannot be taken over is
        said, and stays with certbot.
        """
        taken = Taken(skipped=list(found.troubles))
        pairs = [OwnPair(str(each.chain), str(each.key), ()) for each in found.lineages]
        facts = await self._certificates.inspect(pairs)
        for lineage, fact in zip(found.lineages, facts, strict=True):
            try:
                await self._take(lineage, fact, called, taken)
            except (OSError, PorticoError) as error:
                taken.skipped.append(f"{lineage.name}: {error}")
        await self._take_account(found, taken)
        return taken

    async def _take(
        self,
        lineage: CertbotLineage,
        facts: Facts,
        called: Callable[[Sequence[str]], str | None],
        taken: Taken,
    ) -> None:
        if facts.problems:
            raise Failed("; ".join(facts.problems))
        name = called(facts.names) or own_name(lineage.name, facts.names)
        held = self._lineages.held(name)
        if held and held.not_before > facts.not_before:
            raise Failed(f"{name} has a newer certificate here already")
        profile = lineage.settings.get("profile")
        about = About(
            lineage.server, str(profile) if profile else None, "staging" in lineage.server
        )
        chain = await asyncio.to_thread(lineage.chain.read_text)
        stored = await self._lineages.store(name, facts.names, chain, str(lineage.key), about)
        if self._lineages.current(name) is None:
            await self._lineages.switch(name, stored.generation)
        await asyncio.to_thread(_leave_alone, lineage.conf)
        taken.names[name], taken.settings[name] = facts.names, lineage.settings
        taken.notes += [f"{name}: {note}" for note in lineage.notes]

    async def _take_account(self, found: CertbotFolder, taken: Taken) -> None:
        """The one of most certificates: authorities know what is ours by it."""
        owners = [each for each in found.lineages if each.account]
        if not owners:
            return
        if self._account_key.exists():
            taken.notes.append("the account of certbot is not taken over: there is one here")
            return
        by_account = [(each.account, each.server) for each in owners if each.account]
        account, server = max(by_account, key=by_account.count)
        try:
            pem = await self._certificates.account_key(account.key)
            await asyncio.to_thread(_write_account, self._account_key, pem, account, server)
        except (OSError, PorticoError) as error:
            taken.notes.append(f"the account {account.url} is not taken over: {error}")
            return
        taken.account = account.url


def own_name(lineage: str, names: Sequence[str]) -> str:
    """A site is called by one of its names; certbot's `-0001` says that it had one already."""
    plain = re.sub(r"-[0-9]{4}$", "", lineage)
    found = [name for name in names if name.removeprefix("*.") == plain]
    return min(found or names, key=lambda name: (name.startswith("*."), len(name)))


def _leave_alone(conf: Path) -> None:
    _replace(conf, without_renewal(conf.read_text()), conf.stat().st_mode & 0o777)


def _write_account(key: Path, pem: str, account: CertbotAccount, server: str) -> None:
    key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account.url:
        _replace(key.with_suffix(".json"), json.dumps({server: account.url}), 0o600)
    _replace(key, pem, 0o600)


def _replace(path: Path, text: str, mode: int) -> None:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
