"""Which boot of the machine this is."""

from __future__ import annotations

from pathlib import Path


def boot_id() -> str:
    """Another text after every boot: the kernel's own, else the moment of the boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        lines = Path("/proc/stat").read_text("ascii").splitlines()
        return next(line for line in lines if line.startswith("btime "))
