"""The folder of one lineage: its generations, and which of them is current.

    lineages/<name>/<n>/{privkey,cert,chain,fullchain}.pem and meta.json
    lineages/<name>/current  -> <n>
    lineages/<name>/previous -> the one that was current before
    live/<name>/cert.pem     -> ../../lineages/<name>/current/cert.pem, and so on

A generation appears complete or not at all, and never changes. Other programs read under live/,
where one rename of `current` gives them all four files of another generation.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from portico.core.model.certificate import Certificate
from portico.core.model.place import CertificateFiles
from portico.system.files import link, sync_folder, write_new
from portico.system.folders import (
    begin_folder,
    finish_folder,
    numbers,
    remove_folder,
    remove_folders,
)

Pointer = Literal["current", "previous"]

CERT: Final = "cert.pem"
CHAIN: Final = "chain.pem"
FULL_CHAIN: Final = "fullchain.pem"
KEY: Final = "privkey.pem"
PEMS: Final = (CERT, CHAIN, FULL_CHAIN, KEY)
_META: Final = "meta.json"
_BLOCK: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Meta:
    certificate: Certificate
    digests: Mapping[str, str]
    """SHA-256 of each file, by its name: what is damaged must not be served."""


_RECORD: Final = TypeAdapter(_Meta)


class UnusableGeneration(Exception):
    """A generation that cannot be read, or is not what was written."""


@dataclass(frozen=True, slots=True)
class LineageFolder:
    path: Path
    live: Path

    def begin(self, chain: str, key: bytes) -> Path:
        """A new generation that nobody sees yet. Raises OSError, and Unusable for no chain."""
        blocks = [f"{block}\n" for block in _BLOCK.findall(chain)]
        if not blocks:
            raise UnusableGeneration("no certificate in PEM format")
        unfinished = begin_folder(self.path)
        texts = {CERT: blocks[0], CHAIN: "".join(blocks[1:]), FULL_CHAIN: "".join(blocks)}
        try:
            write_new(unfinished / KEY, key)
            for name, text in texts.items():
                write_new(unfinished / name, text, 0o644)
        except OSError:
            remove_folder(unfinished)
            raise
        return unfinished

    def finish(self, unfinished: Path, described: Certificate) -> Certificate:
        """Make it the generation that it is described as; returns it with its files."""
        digests = {name: _digest(unfinished / name) for name in PEMS}
        record = _RECORD.dump_json(_Meta(described, digests), indent=1)
        write_new(unfinished / _META, record, 0o644)
        place = self.path / str(described.generation)
        finish_folder(unfinished, place)
        return in_folder(described, place)

    def generations(self) -> list[int]:
        """The numbers that are there, oldest first."""
        return numbers(self.path)

    def read(self, number: int) -> Certificate:
        """Raises Unusable. Rights of a key that are too wide are narrowed."""
        place = self.path / str(number)
        try:
            if (place / KEY).stat().st_mode & 0o077:
                (place / KEY).chmod(0o600)
            meta = _RECORD.validate_json((place / _META).read_bytes())
            damaged = [name for name in PEMS if _digest(place / name) != meta.digests.get(name)]
        except OSError as error:
            raise UnusableGeneration(f"cannot read {error.filename}: {error.strerror}") from error
        except ValidationError as error:
            raise UnusableGeneration(f"{place / _META} cannot be read") from error
        if damaged:
            raise UnusableGeneration(
                f"{', '.join(damaged)} in {place} was changed after it was written"
            )
        # The folder may have been moved since: its place is where it is now.
        return in_folder(replace(meta.certificate, generation=number), place)

    def read_link(self, pointer: Pointer) -> int | None:
        try:
            return int((self.path / pointer).readlink().name)
        except (OSError, ValueError):
            return None

    def set_link(self, pointer: Pointer, number: int) -> None:
        link(self.path / pointer, str(number))
        sync_folder(self.path)

    def withdraw(self) -> None:
        (self.path / "current").unlink(missing_ok=True)
        sync_folder(self.path)

    def publish(self) -> None:
        """Have the links that other programs read; they never change."""
        self.live.mkdir(mode=0o755, parents=True, exist_ok=True)
        current = os.path.relpath(self.path / "current", self.live)
        wrong = {
            path: f"{current}/{name}"
            for name in PEMS
            if _target(path := self.live / name) != f"{current}/{name}"
        }
        for path, target in wrong.items():
            link(path, target)
        if wrong:  # waiting for the disk would take a minute for thousands of them
            sync_folder(self.live)

    def drop(self, generations: Iterable[int]) -> None:
        """Remove these generations, and what a run that was killed has left."""
        remove_folders(self.path, [str(number) for number in generations])

    def remove(self) -> None:
        remove_folder(self.live)
        remove_folder(self.path)


def in_folder(certificate: Certificate, place: Path) -> Certificate:
    """The same, with its files in this folder."""
    files = CertificateFiles(str(place / FULL_CHAIN), str(place / KEY))
    return replace(certificate, files=files, cert=str(place / CERT), chain=str(place / CHAIN))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _target(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
