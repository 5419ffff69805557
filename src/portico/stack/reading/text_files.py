"""Files that should be text, and what is quoted of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from portico.errors import Failed
from portico.system.text import read_text

_MAX_QUOTED: Final = 80  # characters


def plain_text(path: Path, *, encoded: bool = True) -> str:
    """Raises Failed where it cannot be read or is no text. With `encoded` it must be UTF-8;
    without, what is not comes back as U+FFFD.
    """
    text = read_text(path, encoded=encoded)
    if "\0" in text:
        raise Failed(f"cannot read {path}: it is not a text file")
    return text


def quote_line(text: str) -> str:
    """On one line, cut short where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_QUOTED else f"{line[:_MAX_QUOTED]}..."
