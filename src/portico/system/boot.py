"""Which boot of the machine this is."""

from __future__ import annotations

from pathlib import Path


def boot_id() -> str:
    """Another text after every boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
