"""porticod that can make no control group, as in most containers."""

from __future__ import annotations

import ctypes
import os
from typing import Final

from portico.daemon import main as daemon

NEW_MOUNTS: Final = 0x20000
"""CLONE_NEWNS (unshare(2)), which Python offers from 3.12 on."""
RECURSIVE, PRIVATE, DETACH = 0x4000, 0x40000, 2
"""MS_REC and MS_PRIVATE (mount(2)), MNT_DETACH (umount(2))."""

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Root only."""
    _done(_libc.unshare(NEW_MOUNTS))
    _done(_libc.mount(None, b"/", None, RECURSIVE | PRIVATE, None))
    _done(_libc.umount2(b"/sys/fs/cgroup", DETACH))
    daemon.main()


def _done(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
