"""The folders of a lineage: `<lineage>/<n>/{fullchain.pem,privkey.pem}`, n from 1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from portico.core.model.names import folder_name
from portico.core.model.place import CertificateFiles
from portico.system.files import write_new
from portico.system.folders import begin_folder, finish_folder, numbers, remove_folder

CHAIN: Final = "fullchain.pem"
KEY: Final = "privkey.pem"


def files(folder: Path, lineage: str, generation: int) -> CertificateFiles:
    place = folder / folder_name(lineage) / str(generation)
    return CertificateFiles(str(place / CHAIN), str(place / KEY))


def write_generation(folder: Path, chain: bytes, key: bytes) -> int:
    """Returns the number of the new generation."""
    number = max(numbers(folder), default=0) + 1
    write_folder(folder / str(number), {CHAIN: chain, KEY: key})
    return number


def write_folder(target: Path, content: Mapping[str, bytes]) -> None:
    """A new folder with these files, for this user alone. Raises OSError if it is there."""
    unfinished = begin_folder(target.parent)
    try:
        for name, each in content.items():
            write_new(unfinished / name, each)
        finish_folder(unfinished, target)
    except OSError:
        remove_folder(unfinished)
        raise
