"""What a regex of the file captures, and where the target of a redirect has it: `$1`, `$name`,
also as `${name}`. `$$` is a dollar sign.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from portico.core.model.variables import FAMILIES, VARIABLES

_REFERENCE: Final = re.compile(
    r"\$(?:(\$)|([1-9]|[A-Za-z_][A-Za-z0-9_]*)|\{([1-9]|[A-Za-z_][A-Za-z0-9_]*)\})"
)
_GROUP: Final = re.compile(r"\((?:\?(?:P?<(?![=!])|')(\w+)|(?![?*]))")
_PIECE: Final = re.compile(
    r"\\Q.*?(?:\\E|$)|\\.|\(\?#[^)]*\)|\(\??|\[:\^?\w+:\]|\[\^?\]?|.", re.DOTALL
)
_NGINX_NAMES: Final = frozenset(
    {*VARIABLES, *("document_uri", "is_args", "limit_rate", "status", "body_bytes_sent")}
)
_NGINX_FAMILIES: Final = (*FAMILIES, *("portico_", "sent_http_", "upstream_", "proxy_", "ssl_"))


def groups(regex: str) -> tuple[int, tuple[str, ...]]:
    """How many groups of a regex capture, and the names of those that have one (PCRE2)."""
    found = [match for match in map(_GROUP.match, _openings(regex)) if match]
    return len(found), tuple(match[1] for match in found if match[1])


def references(text: str) -> tuple[str, ...]:
    """What a target has of captures: `1`, `name`."""
    found = (match[2] or match[3] for match in _REFERENCE.finditer(text))
    return tuple(name for name in found if name)


def has_stray_dollar(text: str) -> bool:
    return "$" in _REFERENCE.sub("", text)


def expand(text: str, plain: Callable[[str], str]) -> str:
    """The text as nginx expands it; `plain` writes what is no capture."""
    parts, end = [], 0
    for found in _REFERENCE.finditer(text):
        name = found[2] or found[3]
        parts.append(plain(text[end : found.start()]))
        if not name:
            parts.append(plain("$"))
        else:
            parts.append(f"${name}" if name.isdigit() else f"${{{name}}}")
        end = found.end()
    return "".join((*parts, plain(text[end:])))


def is_nginx_variable(name: str) -> bool:
    """Whether a group of that name would replace what nginx or Portico has under it."""
    return name in _NGINX_NAMES or name.startswith(_NGINX_FAMILIES)


def _openings(regex: str) -> Iterator[str]:
    """The text from each `(` on that opens a group."""
    in_class = False
    for found in _PIECE.finditer(regex):
        piece = found[0]
        if in_class:
            in_class = piece not in {"]", "[]", "[^]"}
        elif piece in {"[", "[^", "[]", "[^]"}:
            in_class = True
        elif piece in {"(", "(?"}:
            yield regex[found.start() :]
