"""A lock on a folder, which ends with its process, and renames that a power cut undoes or not."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from portico.adapters.acme.child.context import RunContext
from portico.system.files import sync_folder

_LOCK_RETRY_INTERVAL: Final = 0.1  # seconds


def rename(path: Path, target: Path) -> None:
    path.rename(target)
    sync_folder(path.parent)


@contextmanager
def lock(folder: Path, context: RunContext) -> Iterator[None]:
    """The folder, made if it is not there, is this run's alone."""
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _take(descriptor, folder, context)
            if _is_still(descriptor, folder):  # or was it removed while we waited
                yield
                return
        finally:
            os.close(descriptor)


def _take(descriptor: int, folder: Path, context: RunContext) -> None:
    while not _lock(descriptor):
        context.pause(_LOCK_RETRY_INTERVAL, f"another process is using {folder}")


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(descriptor: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def remove_unused(folder: Path) -> bool:
    """Remove a folder with all that is in it; False when a run works in it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return True
    try:
        if not _lock(descriptor):
            return False
        shutil.rmtree(folder)
        return True
    finally:
        os.close(descriptor)
