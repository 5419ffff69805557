"""Which boot of the machine this is."""

from __future__ import annotations

from pathlib import Path

import psutil


def boot_id() -> str:
    """Another text after every boot: the kernel's own, else the moment of the boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return str(int(psutil.boot_time()))
