"""Certificates of authorities on disk (ports.Lineages)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from portico.adapters.lineages.lineage_folder import (
    FULL_CHAIN,
    KEY,
    LineageFolder,
    UnusableGeneration,
)
from portico.core.model.certificate import Certificate, Provenance
from portico.core.model.names import folder_name
from portico.core.model.pair import Facts, OwnPair
from portico.core.model.place import CertificateFiles
from portico.errors import Failed
from portico.ports.certificates import Certificates
from portico.ports.clock import Clock
from portico.system.folders import remove_folder
from portico.system.home import Home


@dataclass(slots=True)
class _LineageState:
    """What is in one lineage's folder."""

    generations: dict[int, Certificate] = field(default_factory=dict)
    current: int | None = None


class DiskLineages:
    """`certificates` looks into what is to be stored, before anything is changed."""

    def __init__(self, home: Home, certificates: Certificates, clock: Clock) -> None:
        self._folder = home.certificates
        self._certificates, self._clock = certificates, clock
        self._known: dict[str, _LineageState] = {}
        self._changing = asyncio.Lock()

    async def load(self) -> Mapping[str, str]:
        async with self._changing:
            self._known, troubles = await asyncio.to_thread(_load, self._folder)
        return troubles

    def names(self) -> list[str]:
        return sorted(name for name, known in self._known.items() if known.generations)

    def held(self, lineage: str) -> Certificate | None:
        known = self._known.get(lineage)
        return known.generations[max(known.generations)] if known and known.generations else None

    def current(self, lineage: str) -> Certificate | None:
        known = self._known.get(lineage)
        return known.generations.get(known.current) if known and known.current else None

    def folder(self, lineage: str) -> str:
        return str(self._lineage_folder(lineage).live)

    def folders(self, lineage: str) -> tuple[str, ...]:
        folder = self._lineage_folder(lineage)
        return str(folder.path), str(folder.live)

    async def store(
        self, lineage: str, names: Sequence[str], chain: str, key: str, about: Provenance
    ) -> Certificate:
        try:
            pem = await asyncio.to_thread(Path(key).read_text)
        except OSError as error:
            raise _failure(lineage, f"cannot read {_reason(error)}") from error
        return await self.take(lineage, names, chain, pem, about)

    async def take(
        self, lineage: str, names: Sequence[str], chain: str, key: str, about: Provenance
    ) -> Certificate:
        async with self._changing:
            try:
                return await self._store(lineage, names, chain, key, about)
            except OSError as error:
                raise _failure(lineage, f"cannot write {_reason(error)}") from error
            except UnusableGeneration as error:
                raise _failure(lineage, str(error)) from error

    async def switch(self, lineage: str, generation: int) -> Certificate:
        async with self._changing:
            known, folder = self._known.get(lineage), self._lineage_folder(lineage)
            if not known or generation not in known.generations:
                raise _failure(lineage, f"generation {generation} does not exist")
            try:
                await asyncio.to_thread(_switch, folder, generation)
            except OSError as error:
                raise _failure(lineage, f"cannot write {_reason(error)}") from error
            known.current = generation
            await asyncio.to_thread(_remove_old, folder, known)
            return known.generations[generation]

    async def put_back(self, lineage: str) -> Certificate | None:
        async with self._changing:
            known, folder = self._known.get(lineage), self._lineage_folder(lineage)
            before = folder.read_link("previous")
            if not known or before == known.current or before not in known.generations:
                return None
            try:
                await asyncio.to_thread(folder.set_link, "current", before)
            except OSError as error:
                raise _failure(lineage, f"cannot write {_reason(error)}") from error
            known.current = before
            return known.generations[before]

    async def withdraw(self, lineage: str) -> None:
        async with self._changing:
            try:
                await asyncio.to_thread(self._lineage_folder(lineage).withdraw)
            except OSError as error:
                raise _failure(lineage, f"cannot remove {_reason(error)}") from error
            self._known[lineage].current = None

    async def remove(self, lineage: str) -> None:
        async with self._changing:
            await asyncio.to_thread(self._lineage_folder(lineage).remove)
            self._known.pop(lineage, None)

    async def _store(
        self, lineage: str, names: Sequence[str], chain: str, key: str, about: Provenance
    ) -> Certificate:
        folder = self._lineage_folder(lineage)
        unfinished = await asyncio.to_thread(folder.begin, chain, key.encode())
        try:
            facts = await self._read_facts(unfinished, names)
            held = self.held(lineage)
            if held and held.serial == facts.serial and held.issuer == about.issuer:
                return held
            _accept(facts, about, held)
            number = await asyncio.to_thread(_next_number, folder)
            described = _certificate(lineage, number, facts, about, self._clock.now())
            certificate = await asyncio.to_thread(folder.finish, unfinished, described)
        finally:
            await asyncio.to_thread(remove_folder, unfinished)
        self._known.setdefault(lineage, _LineageState()).generations[number] = certificate
        return certificate

    async def _read_facts(self, unfinished: Path, names: Sequence[str]) -> Facts:
        pair = OwnPair(str(unfinished / FULL_CHAIN), str(unfinished / KEY), tuple(names))
        [facts] = await self._certificates.inspect([pair])
        return facts

    def _lineage_folder(self, lineage: str) -> LineageFolder:
        return _lineage_folder(self._folder, folder_name(lineage))


def _lineage_folder(certificates: Path, name: str) -> LineageFolder:
    return LineageFolder(certificates / "lineages" / name, certificates / "live" / name)


def _load(certificates: Path) -> tuple[dict[str, _LineageState], dict[str, str]]:
    found: dict[str, _LineageState] = {}
    troubles: dict[str, str] = {}
    lineages = certificates / "lineages"
    for path in sorted(lineages.iterdir()) if lineages.is_dir() else ():
        folder = _lineage_folder(certificates, path.name)
        known, wrong = _read(folder)
        names = {certificate.lineage for certificate in known.generations.values()}
        lineage = names.pop() if len(names) == 1 else path.name
        if known.generations:
            found[lineage] = known
            wrong += _heal(folder, known)
        if wrong:
            troubles[lineage] = "; ".join(wrong)
    return found, troubles


def _read(folder: LineageFolder) -> tuple[_LineageState, list[str]]:
    known, wrong = _LineageState(), []
    try:
        folder.path.chmod(0o700)
        folder.drop([])
        numbers = folder.generations()
    except OSError as error:
        return known, [f"cannot read {_reason(error)}"]
    for number in numbers:
        try:
            known.generations[number] = folder.read(number)
        except UnusableGeneration as error:
            wrong.append(f"generation {number} was skipped: {error}")
    return known, wrong


def _heal(folder: LineageFolder, known: _LineageState) -> list[str]:
    """Where the current one is damaged, the last one before it that is good takes its place."""
    pointed = folder.read_link("current")
    if pointed is None:
        return []
    known.current = pointed
    if pointed not in known.generations:
        known.current = max(
            (number for number in known.generations if number < pointed),
            default=min(known.generations),
        )
    try:
        if known.current != pointed:
            folder.set_link("current", known.current)
        folder.publish()
    except OSError as error:
        return [f"cannot write {_reason(error)}"]
    return []


def _next_number(folder: LineageFolder) -> int:
    """Never one that was there before: nginx may still have files of it open."""
    pointed = (folder.read_link("current"), folder.read_link("previous"))
    return max([0, *folder.generations(), *filter(None, pointed)]) + 1


def _switch(folder: LineageFolder, generation: int) -> None:
    before = folder.read_link("current")
    if before != generation:
        if before is not None:
            folder.set_link("previous", before)
        folder.set_link("current", generation)
    folder.publish()


def _remove_old(folder: LineageFolder, known: _LineageState) -> None:
    """Newer ones stay too: they are held, and will be switched to. Damaged ones go with old."""
    kept = (known.current, folder.read_link("previous"))
    gone = [n for n in folder.generations() if n not in kept and n < (known.current or 0)]
    folder.drop(gone)
    for number in gone:
        known.generations.pop(number, None)


def _certificate(
    lineage: str, number: int, facts: Facts, about: Provenance, now: float
) -> Certificate:
    return Certificate(
        lineage=lineage,
        generation=number,
        files=CertificateFiles("", ""),
        cert="",
        chain="",
        issuer=about.issuer,
        serial=facts.serial,
        not_before=facts.not_before,
        not_after=facts.not_after,
        names=facts.names,
        key_type=facts.key_type,
        stored=now,
        ari_id=facts.ari_id,
        profile=about.profile,
        staging=about.staging,
    )


def _accept(facts: Facts, about: Provenance, held: Certificate | None) -> None:
    """Raises Unusable, with every reason why it cannot be used."""
    problems = list(facts.problems)
    if about.staging and held and not held.staging:
        problems.append("it is a staging certificate and must not replace a trusted one")
    if problems:
        raise UnusableGeneration("; ".join(problems))


def _failure(lineage: str, why: str) -> Failed:
    return Failed(
        f"cannot store the certificate for {lineage}: {why}; the existing one is unchanged"
    )


def _reason(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}"
