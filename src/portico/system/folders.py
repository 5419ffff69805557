"""Folders that appear with all their files or not at all, and never change: numbered generations.

Calls block for the disk and raise OSError.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Final

from portico.system.files import sync_folder

_TEMPORARY_MARK: Final = ".new-"


def begin_folder(parent: Path) -> Path:
    """A new one for this user alone, which counts for nothing until `finish_folder`."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=_TEMPORARY_MARK, dir=parent))


def finish_folder(unfinished: Path, target: Path) -> None:
    """Both are in the same folder. OSError if the target is there with anything in it."""
    sync_folder(unfinished)
    unfinished.rename(target)
    sync_folder(target.parent)


def numbers(parent: Path) -> list[int]:
    """Of the finished ones that are called by numbers, lowest first."""
    if not parent.is_dir():
        return []
    return sorted(int(each.name) for each in parent.iterdir() if each.name.isdecimal())


def remove_folders(parent: Path, names: Collection[str] = ()) -> None:
    """Remove these, and what a process that was killed has left unfinished."""
    for each in (*parent.glob(f"{_TEMPORARY_MARK}*"), *(parent / name for name in names)):
        remove_folder(each)


def remove_folder(folder: Path) -> None:
    """With all that is in it, as far as that is possible."""
    shutil.rmtree(folder, ignore_errors=True)
