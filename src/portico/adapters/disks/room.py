"""Whether there is room on the disks that are written to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

MIN_FREE_BYTES: Final = 256 << 10  # bytes; less is gone before anybody looks again
MIN_FREE_INODES: Final = 16


class MountedDisks:
    """Implements `Disks`."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def full_disks(self, folders: Iterable[str]) -> Mapping[str, str]:
        return await asyncio.to_thread(_full_disks, (str(self._home), *folders))


def _full_disks(folders: Iterable[str]) -> dict[str, str]:
    """A disk is named by the first folder that is on it."""
    found: dict[str, str] = {}
    disks: dict[int, str] = {}
    for folder in folders:
        try:
            device, room = os.stat(folder).st_dev, os.statvfs(folder)  # noqa: PTH116 - as statvfs
        except OSError:
            continue  # made when it is first written to
        if shortage := _shortage(room):
            found[folder] = disks.setdefault(device, f"disk full at {folder}: {shortage}")
    return found


def _shortage(room: os.statvfs_result) -> str:
    """What others than root have left: nginx's workers and most programs are others."""
    if room.f_bavail * room.f_frsize < MIN_FREE_BYTES:
        return "apps keep running, but writes there fail"
    if room.f_files and room.f_favail < MIN_FREE_INODES:  # some file systems do not count files
        return "no inodes are left; apps keep running, but no new files can be created there"
    return ""
