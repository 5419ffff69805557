"""How much memory this process holds, and giving back what it has freed."""

from __future__ import annotations

import ctypes
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

_M_ARENA_MAX: Final = -8


def resident_bytes() -> int:
    """Resident memory of this process: field 2 of /proc/self/statm, else the peak so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def return_freed() -> None:
    """Give the kernel what was freed: the C library keeps it for later, all over its heap."""
    with suppress(AttributeError):  # musl has no such call, and keeps less
        ctypes.CDLL(None).malloc_trim(0)


def limit_arenas() -> None:
    """One heap for all threads from now on (mallopt(3)): the interpreter runs one of them at a
    time, and what a heap of a thread has freed serves no other one.
    """
    with suppress(AttributeError):  # musl has one anyway
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
