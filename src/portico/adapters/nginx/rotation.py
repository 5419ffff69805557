"""Numbered log files: site.access.log, site.access.log.1, site.access.log.2, ..."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def rotate(files: Iterable[Path], max_size: int, keep: int) -> tuple[bool, dict[str, str | None]]:
    """Move away those that are larger; whether any was, and what went wrong for each, by path.

    Who writes to a file goes on writing to it under its new name until told to open the old
    name again. Of the older files `keep` stay, and with 0 the newest until the next call.
    """
    moved = False
    troubles: dict[str, str | None] = {}
    for file in files:
        try:
            _forget(file, keep)
            if file.stat().st_size > max_size:
                _move(file, max(keep, 1))
                moved = True
            troubles[str(file)] = None
        except OSError as error:
            troubles[str(file)] = error.strerror or str(error)
    return moved, troubles


def open_folders(folders: Iterable[Path], group: int) -> None:
    """Let a group reach what is in them, and nobody list it."""
    for folder in folders:
        os.chown(folder, -1, group)
        folder.chmod(0o710)


def close_folders(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(FileNotFoundError):
            folder.chmod(0o700)


def _move(file: Path, keep: int) -> None:
    for number in range(keep - 1, 0, -1):
        older = file.with_name(f"{file.name}.{number}")
        if older.exists():
            older.rename(file.with_name(f"{file.name}.{number + 1}"))
    newest = file.rename(file.with_name(f"{file.name}.1"))
    if os.geteuid() == 0:  # nginx gives what it has reopened to its workers
        os.chown(newest, 0, 0)
    newest.chmod(0o600)


def _forget(file: Path, keep: int) -> None:
    for path in file.parent.glob(f"{file.name}.*"):
        number = path.name.removeprefix(f"{file.name}.")
        if number.isdecimal() and int(number) > keep:
            path.unlink()
