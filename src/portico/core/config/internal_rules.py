"""Rules of routes that only an app can send requests to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from portico.core.config.findings import Finding, Path
from portico.core.model.site import Folder, Route, Site

_CLIENT_KEYS: Final = ("spa", "clean_urls", "listing", "expires")
"""Keys of a folder that say how its files are found, and kept: here the app says both."""


def internal_findings(path: Path, site: Site) -> Iterator[Finding]:
    for place, route in site.placed_routes():
        if isinstance(route, Route) and route.internal:
            here = (*path, "routes", *place)
            if route.folder is None:
                yield Finding((*here, "internal"), "needs a folder")
            if route.app or route.upstream:
                yield Finding((*here, "internal"), "cannot have an app or upstream besides")
            if not re.match(r"(\^~ )?/.", place[0]):
                yield Finding((*here, "internal"), "needs a path below /, such as /protected")
            if len(place) > 1 or route.match:
                yield Finding((*here, "internal"), "cannot be used in a route with match")
            for key in _CLIENT_KEYS if isinstance(route.folder, Folder) else ():
                if getattr(route.folder, key):
                    yield Finding((*here, "folder", key), "cannot be used with internal")
