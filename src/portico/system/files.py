"""Files and links of which a power cut leaves the old one or the new one, never a part.

Calls block for the disk and raise OSError; what was there before then stays.
"""

from __future__ import annotations

import os
from pathlib import Path


def write_new(
    path: Path, content: bytes | str, mode: int = 0o600, *, durable: bool = True
) -> None:
    """A file that is not there yet: FileExistsError otherwise. Its name is on disk after
    `sync_folder`. One that is not `durable` waits for no disk, and may be empty after a power cut.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # whatever the umask
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        if durable:
            os.fsync(descriptor)


def write(path: Path, content: bytes | str, mode: int = 0o600, *, durable: bool = True) -> None:
    """A file in the place of the one that was there."""
    new = _temporary_path(path)
    write_new(new, content, mode, durable=durable)
    new.replace(path)
    if durable:
        sync_folder(path.parent)


def link(path: Path, target: str) -> None:
    """A symbolic link in the place of the one there. It is on disk after `sync_folder`."""
    new = _temporary_path(path)
    new.symlink_to(target)
    new.replace(path)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary_path(path: Path) -> Path:
    """Where the next one is written. One that a killed process has left is removed."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    return new
