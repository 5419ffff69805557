"""The folders of a lineage: `<lineage>/<n>/{fullchain.pem,privkey.pem}`, n from 1.

A generation appears complete or not at all, and never changes afterwards.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from portico.core.model.names import folder_name
from portico.core.model.place import CertificateFiles
from portico.system.files import sync_folder, write_new

CHAIN: Final = "fullchain.pem"
KEY: Final = "privkey.pem"
_UNFINISHED: Final = ".new-"


def files(folder: Path, lineage: str, generation: int) -> CertificateFiles:
    place = folder / folder_name(lineage) / str(generation)
    return CertificateFiles(str(place / CHAIN), str(place / KEY))


def generations(folder: Path) -> list[int]:
    """The numbers that are there, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(int(each.name) for each in folder.iterdir() if each.name.isdigit())


def write_generation(folder: Path, chain: bytes, key: bytes) -> int:
    """Returns the number of the new generation."""
    number = max(generations(folder), default=0) + 1
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_folder(folder / str(number), {CHAIN: chain, KEY: key})
    return number


def write_folder(target: Path, content: Mapping[str, bytes]) -> None:
    """A new folder with these files, for this user alone. Raises OSError if it is there."""
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=target.parent))
    try:
        for name, each in content.items():
            write_new(unfinished / name, each)
        sync_folder(unfinished)
        unfinished.rename(target)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    sync_folder(target.parent)


def remove(folder: Path, numbers: list[int]) -> None:
    """Take away these generations, and what a child that was killed has left."""
    unfinished = folder.glob(f"{_UNFINISHED}*")
    for each in (*unfinished, *(folder / str(number) for number in numbers)):
        shutil.rmtree(each, ignore_errors=True)
