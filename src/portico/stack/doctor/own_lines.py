"""Places in a portico.toml."""

from __future__ import annotations

import re

from portico.stack.doctor.rule import OwnFile
from portico.stack.model import Place


def line_of(own: OwnFile, *path: str) -> Place:
    """Of a key, or of the table that it is in; line 0 where it is written in another way."""
    at = 0
    for number, line in enumerate(own.text.splitlines(), 1):
        if re.match(rf"\s*\[\s*{_keys(path)}\s*\]", line):
            return Place(own.path, number)
        if re.match(rf"\s*\[\s*{_keys(path[:-1])}\s*\]", line):
            at = number
        elif re.match(r"\s*\[", line):
            at = 0
        elif at and re.match(rf"\s*{_keys(path[-1:])}\s*=", line):
            return Place(own.path, number)
    return Place(own.path)


def _keys(path: tuple[str, ...]) -> str:
    return r"\s*\.\s*".join(rf"[\"']?{re.escape(each)}[\"']?" for each in path)
