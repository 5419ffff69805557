"""Site addresses of a Caddyfile: `example.com, http://www.example.com:8080`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

_ADDRESS: Final = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>\[[0-9a-fA-F:]+\]|[^:/\[\]]*)(?::(?P<port>\d+))?(?P<path>/.*)?"
)
_STANDARD_PORTS: Final = frozenset((None, "80", "443"))
_NAMELESS_HOST: Final = "localhost"


@dataclass
class Addresses:
    names: list[str] = field(default_factory=list)
    https: bool = True
    redirects: bool = True
    """http to https."""
    is_default: bool = False
    """Whether it also answers names that no site has."""
    gaps: list[tuple[str, str]] = field(default_factory=list)


def addresses_of(words: Iterable[str]) -> Addresses:
    found = Addresses()
    plain: set[str] = set()
    secure: set[str] = set()
    for word in ",".join(words).split(","):
        if not word:
            continue
        match = _ADDRESS.fullmatch(word)
        if match is None or "{" in word or match["path"] not in {None, "", "/"}:
            found.gaps.append((word, "it is not an address of a site here"))
            continue
        if match["port"] not in _STANDARD_PORTS:
            why = f"all sites share the ports of [edge]; port {match['port']} is not one of them"
            found.gaps.append((word, why))
        host = match["host"].strip("[]").lower()
        found.is_default = found.is_default or not host
        name = host or _NAMELESS_HOST
        is_plain = match["scheme"] == "http" or match["port"] == "80"
        is_plain = is_plain or (not host and match["scheme"] is None and match["port"] != "443")
        (plain if is_plain else secure).add(name)
        if name not in found.names:
            found.names.append(name)
    found.https = bool(secure) or not plain
    found.redirects = not (plain & secure)
    return found
