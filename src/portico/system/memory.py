"""How much memory this process holds."""

from __future__ import annotations

import resource
from pathlib import Path


def resident_bytes() -> int:
    """Resident memory of this process: field 2 of /proc/self/statm, else the peak so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()
