"""Rules of routes that share a path: the first whose match fits takes a request."""

from __future__ import annotations

import re
from collections.abc import Iterator

from portico.core.config.findings import Draft, Finding, Path
from portico.core.config.patterns import wrong_with_regex
from portico.core.model.site import Folder, Route, Site


def match_findings(draft: Draft, path: Path, site: Site) -> Iterator[Finding]:
    for key, routes in site.routes.items():
        here: Path = (*path, "routes", key)
        if isinstance(routes, tuple):
            if not routes and not draft.may_be_set((*path, "routes"), key):
                yield Finding(here, "is an empty list")
            for index, route in enumerate(routes):
                if not route.match and index < len(routes) - 1:
                    what = "has no match, so the routes after it are never reached"
                    yield Finding((*here, index), what)
    for place, each in site.placed_routes():
        if isinstance(each, Route):
            yield from _route_findings(draft, (*path, "routes", *place), each)
            shares_path = len(place) > 1 or each.match
            if shares_path and each.folder is not None and (each.app or each.upstream):
                what = "cannot have an app or upstream besides, in a route with match"
                yield Finding((*path, "routes", *place, "folder"), what)
            if shares_path and isinstance(each.folder, Folder) and each.folder.listing:
                what = "cannot be used in a route with match, or that shares its path"
                yield Finding((*path, "routes", *place, "folder", "listing"), what)


def takes_all(routes: Route | str | tuple[Route, ...] | None) -> bool:
    """Whether no request of a path is left for others."""
    last = routes[-1] if isinstance(routes, tuple) and routes else routes
    return isinstance(last, str) or (isinstance(last, Route) and not last.match)


def _route_findings(draft: Draft, path: Path, route: Route) -> Iterator[Finding]:
    match, here = route.match, (*path, "match")
    if match is None:
        return
    is_empty = not match.methods and not match.values
    if is_empty and not draft.may_be_set(here, "method", "header", "cookie", "query"):
        yield Finding(here, "needs method, header, cookie or query")
    for kind, name, value in match.values:
        found = re.fullmatch(r"~\*? (\S.*)", value) if isinstance(value, str) else None
        if found and (wrong := wrong_with_regex(found[1])):
            yield Finding((*here, kind, name), wrong)
