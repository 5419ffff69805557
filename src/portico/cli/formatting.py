"""Figures in words for people."""

from __future__ import annotations

from typing import Final

_UNITS: Final = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_STEP: Final = 1024
_SECOND: Final = 1000
_SIZES: Final = ("B", "KB", "MB", "GB", "TB")


def duration(seconds: float) -> str:
    """Two units at most: `3d 4h`, `2m 5s`, `0s`."""
    rest = int(max(0, seconds))
    parts: list[str] = []
    for name, length in _UNITS:
        count, rest = divmod(rest, length)
        if count or parts:
            parts.append(f"{count}{name}")
    return " ".join(part for part in parts[:2] if part[0] != "0") or "0s"


def size(count: float) -> str:
    """`45.2 MB`; a step is 1,024."""
    power = 0
    while count >= _STEP and power < len(_SIZES) - 1:
        count /= _STEP
        power += 1
    return f"{count:.{bool(power):d}f} {_SIZES[power]}"


def time_text(seconds: float) -> str:
    """`0ms`, `250ms`, `3.2s`."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds}ms" if milliseconds < _SECOND else f"{seconds:.1f}s"


def count_text(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
