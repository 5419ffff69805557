"""Redirects: what of captures their targets may have, and that none leads back to itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from portico.core.config.findings import Finding, Path
from portico.core.model.captures import groups, has_stray_dollar, references
from portico.core.model.site import Redirect, Route, Site, Target


def redirect_findings(name: str, site: Site, served: AbstractSet[str]) -> Iterator[Finding]:
    """Loops only where they are certain: no target with a port, no route by regex beside it.

    `served` are the domains of all sites; one of them goes before a wildcard.
    """
    sources: list[tuple[tuple[str | int, ...], Target]] = [((), site)]
    sources += [(place, r) for place, r in site.placed_routes() if isinstance(r, Route)]
    by_regex = any(key.startswith("~") for key in site.routes)
    for place, source in sources:
        where: Path = ("sites", name, "routes", *place) if place else ("sites", name)
        key = str(place[0]) if place else ""
        is_shared = len(place) > 1 or (isinstance(source, Route) and source.match)
        redirect = source.redirect
        table = Redirect(to=redirect) if isinstance(redirect, str) else redirect
        if table is None:
            continue
        if wrong := next(_capture_findings((*where, "redirect"), table, key), None):
            yield wrong
        elif not (by_regex or is_shared) and _leads_to(table, key, name, site, served) == key:
            yield Finding((*where, "redirect"), "redirects to itself")


def _capture_findings(path: Path, table: Redirect, key: str) -> Iterator[Finding]:
    used = references(table.to)
    if has_stray_dollar(table.to) or (used and not key.startswith("~")):
        hint = "keep_path = true adds the request's path and query"
        yield Finding(path, "contains a $, but variables are not supported", hint)
    count, names = groups(key)
    for name in used:
        if name not in names and not (name.isdigit() and int(name) <= count):
            hint = 'write "$$" for a dollar sign'
            yield Finding(path, f'has "${name}", which the route does not capture', hint)
    host = re.match(r"(https?:)?//+[^/?#]*", table.to)
    if host and references(host[0]):
        yield Finding(path, "has a capture in the host", "write a / after the host")
    if used and table.keep_path:
        hint = "keep_query = true adds the query"
        yield Finding(path, "has captures, which cannot be combined with keep_path", hint)


def _leads_to(
    redirect: Redirect, source: str, name: str, site: Site, served: AbstractSet[str]
) -> str | None:
    """The route of this site that answers a redirect's target; None if another site does."""
    found = re.fullmatch(r"(?:(https?)://([A-Za-z0-9.-]+))?(/[^?#]*)?(?:[?#].*)?", redirect.to)
    if found is None:
        return None
    scheme, host, path = found[1], found[2], found[3] or "/"
    elsewhere = scheme == "https" and not site.https
    if host and (elsewhere or not _is_ours(host.lower(), (name, *site.aliases), served)):
        return None
    asked = source.rpartition(" ")[2] or "/"
    return _route_for(path.rstrip("/") + asked if redirect.keep_path else path, site)


def _is_ours(host: str, names: Sequence[str], served: AbstractSet[str]) -> bool:
    if host in names:
        return True
    wild = any(name.startswith("*.") and host.endswith(name[1:]) for name in names)
    return wild and host not in served


def _route_for(path: str, site: Site) -> str:
    """The key of the route that nginx takes for a path; empty for the site's own target."""
    if f"= {path}" in site.routes:
        return f"= {path}"
    prefixes = {key.removeprefix("^~ "): key for key in site.routes}
    fitting = [p for p in prefixes if p.startswith("/") and path.startswith(p)]
    return prefixes[max(fitting, key=len)] if fitting else ""
