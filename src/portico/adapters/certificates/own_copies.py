"""Copies of operators' own pairs: `own/<pair>/<n>/{fullchain.pem,privkey.pem,facts.json}`.

nginx is given the copies. A pair of which only one file is written yet, or whose disk is away,
then keeps neither a reload nor a start of nginx from succeeding. What can be used is found out and
copied by a child (`own_pairs`); here only bytes are compared, for the daemon.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from portico.adapters.certificates.lineage import CHAIN, KEY
from portico.core.model.json_text import DECODE_ERRORS
from portico.core.model.pair import Facts, OwnCopy, OwnPair
from portico.core.model.place import CertificateFiles
from portico.system.folders import numbers
from portico.system.rights import open_file

FACTS: Final = "facts.json"
MAX_FILE_SIZE: Final = 1 << 20  # a chain has some kilobytes
COMPARE_INTERVAL: Final = 60.0
"""Seconds after which contents are compared, or a pair is examined, though nothing was written."""
_RECORD: Final = msgspec.json.Decoder(Facts)

Signature = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class _CachedCopy:
    signature: Signature
    copy: OwnCopy
    until: float


class OwnCopies:
    """Looking blocks for the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[OwnPair, _CachedCopy] = {}

    def look(self, pairs: Sequence[OwnPair], now: float) -> dict[OwnPair, OwnCopy]:
        """Of those whose copies are as their files, or whose files are known to be unusable."""
        found: dict[OwnPair, OwnCopy] = {}
        for pair in pairs:
            signature = _signature(pair)
            known = self._known.get(pair)
            if known and known.signature == signature and now < known.until:
                found[pair] = known.copy
            elif copy := self._unchanged_copy(pair):
                self._known[pair] = _CachedCopy(signature, copy, now + COMPARE_INTERVAL)
                found[pair] = copy
        return found

    def note(self, pair: OwnPair, problems: Sequence[str], now: float) -> OwnCopy:
        """After a child has looked at it: the new copy, or the former one with what is wrong."""
        copy = replace(newest_copy(self._folder, pair) or OwnCopy(), problem="; ".join(problems))
        self._known[pair] = _CachedCopy(_signature(pair), copy, now + COMPARE_INTERVAL)
        return copy

    def expected_files(self, pair: OwnPair) -> CertificateFiles:
        """The copy that nginx is given when this is rendered; it may not exist yet."""
        if copy := self._unchanged_copy(pair):
            return copy.files or _files(folder_of(self._folder, pair), 1)
        folder = folder_of(self._folder, pair)
        return _files(folder, max(numbers(folder), default=0) + 1)

    def _unchanged_copy(self, pair: OwnPair) -> OwnCopy | None:
        """The newest copy, if it is what the operator's files hold now."""
        copy = newest_copy(self._folder, pair)
        if copy is None or copy.files is None:
            return None
        try:
            same = (
                read(pair.certificate) == Path(copy.files.certificate).read_bytes()
                and read(pair.key) == Path(copy.files.key).read_bytes()
            )
        except OSError:
            return None
        return copy if same else None


def read(path: str) -> bytes:
    """One byte more than a pair may have, of a file that is larger. Raises OSError."""
    with os.fdopen(open_file(path), "rb") as file:
        return file.read(MAX_FILE_SIZE + 1)


def folder_of(folder: Path, pair: OwnPair) -> Path:
    """A pair is known by the paths of its files: their contents change."""
    return folder / sha256(f"{pair.certificate}\0{pair.key}".encode()).hexdigest()[:24]


def newest_copy(folder: Path, pair: OwnPair) -> OwnCopy | None:
    """The last one that is complete."""
    place = folder_of(folder, pair)
    for number in reversed(numbers(place)):
        files = _files(place, number)
        try:
            facts = _RECORD.decode((place / str(number) / FACTS).read_bytes())
        except (OSError, *DECODE_ERRORS):
            continue
        if Path(files.certificate).is_file() and Path(files.key).is_file():
            return OwnCopy(files, facts)
    return None


def _files(place: Path, number: int) -> CertificateFiles:
    return CertificateFiles(str(place / str(number) / CHAIN), str(place / str(number) / KEY))


def _signature(pair: OwnPair) -> Signature:
    return _of_file(pair.certificate), _of_file(pair.key)


def _of_file(path: str) -> tuple[int, ...]:
    """Of what is at the end of links: another one where certbot has switched to the next."""
    try:
        seen = os.stat(path)  # noqa: PTH116 - a Path for each look would be waste
    except OSError as error:
        return (error.errno or 0,)
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns
