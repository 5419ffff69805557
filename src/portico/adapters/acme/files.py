"""Files of which a power cut leaves the old one or the new one, and a lock that ends with its
process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from portico.adapters.acme.attempt import Attempt

_LOOK_AGAIN: Final = 0.1  # seconds


def write_whole(path: Path, data: bytes) -> None:
    """For this user alone. What is there already stays until the new one is complete."""
    new = path.with_name(f"{path.name}.part")
    new.unlink(missing_ok=True)  # of a run that was killed
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    new.rename(path)
    sync_folder(path.parent)


def rename(path: Path, target: Path) -> None:
    path.rename(target)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path, attempt: Attempt) -> Iterator[None]:
    """The folder, made if it is not there, is this run's alone."""
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _take(descriptor, folder, attempt)
            if _is_still(descriptor, folder):  # or was it removed while we waited
                yield
                return
        finally:
            os.close(descriptor)


def _take(descriptor: int, folder: Path, attempt: Attempt) -> None:
    while not _lock(descriptor):
        attempt.pause(_LOOK_AGAIN, f"another run works in {folder}")


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
