"""A port that the arguments of a program name, as `next start -p 3000` does.

Under PM2 all instances of a cluster share it. Here each has its own, so that it is filled in.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

from portico.core.model.units import LAST_PORT

_OPTIONS: Final = frozenset(("-p", "--port"))
_ATTACHED_PORT: Final = re.compile(r"(-p|--port)=?(\d{2,5})")


def port_of(words: Sequence[str]) -> int:
    """The port of an option `-p 3000`, `--port 3000`, `--port=3000` or `-p3000`; 0 if none is."""
    for before, word in zip(("", *words), words, strict=False):
        attached = _ATTACHED_PORT.fullmatch(word)
        found = attached[2] if attached else word if before in _OPTIONS else ""
        if found.isdecimal() and 0 < int(found) <= LAST_PORT:
            return int(found)
    return 0


def with_variable(words: Sequence[str], port: int, variable: str) -> str:
    """The words as a text that is split and filled in at every start."""
    return " ".join(
        _quote(*pair, str(port), variable) for pair in zip(("", *words), words, strict=False)
    )


def _quote(before: str, word: str, port: str, variable: str) -> str:
    attached = _ATTACHED_PORT.fullmatch(word)
    if attached and attached[2] == port:
        return f"{word.removesuffix(port)}${variable}"
    return f"${variable}" if before in _OPTIONS and word == port else shlex.quote(word)
