"""The files of the dashboard, as they are in the package."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

INDEX: Final = "index.html"
_MEDIA: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    media: str
    content: bytes
    etag: str
    """RFC 9110, 8.8.3."""


@cache
def assets() -> dict[str, Asset]:
    """By name. Read once, when the first browser comes."""
    found = {}
    for each in files("portico.api.dashboard").joinpath("static").iterdir():
        media = _MEDIA.get(each.name.rpartition(".")[2])
        if media:
            content = each.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:16]
            found[each.name] = Asset(media, content, f'"{digest}"')
    return found
