"""Objects of the Gateway API (`gateway.networking.k8s.io/v1`) for the sites of a file.

One Gateway, with a listener for each name that has a certificate, and an HTTPRoute for each site.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Final, TypeVar
from urllib.parse import urlsplit

from portico.core.model.desired import Desired
from portico.core.model.document import Document
from portico.core.model.match import Match
from portico.core.model.site import Redirect, Route, Site, Target
from portico.stack.export.kubernetes import (
    SERVICE_PORT,
    Object,
    file_name,
    object_name,
    secret_name,
    site_object,
)
from portico.stack.export.kubernetes_keys import RefusedKey

T = TypeVar("T")
_VERSION: Final = "gateway.networking.k8s.io/v1"
_HTTP: Final = "http"
"""Name of the listener for plain requests."""
_MAX_ITEMS: Final = 16
"""Host names, and rules, of one HTTPRoute."""
_MAX_LISTENERS: Final = 64
_METHODS: Final = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
)
_PATH: Final = re.compile(r"/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*")
_FORBIDDEN_IN_PATHS: Final = re.compile(r"//|/\.\.?(/|$)|%2f", re.IGNORECASE)
_STATUSES: Final = {301: 301, 302: 302, 303: 302, 307: 302, 308: 301}
"""Of redirects, by Portico's: those that every controller has."""
_HTTPS_REDIRECT: Final[Object] = {
    "type": "RequestRedirect",
    "requestRedirect": {"scheme": "https", "statusCode": 301},
}


class Gateway:
    """Implements `RoutingKind`."""

    kind = "HTTPRoute"
    keys = frozenset(("headers", "request_headers", "redirect_http"))

    def __init__(
        self, project: str, class_name: str, document: Document, desired: Desired
    ) -> None:
        self._project, self._class = project, class_name
        self._document, self._desired = document, desired
        self._listeners: list[Object] = [{"name": _HTTP, "port": 80, "protocol": "HTTP"}]
        self._has_routes = False

    @property
    def solver(self) -> Object:
        parent = {"kind": "Gateway", "name": object_name(self._project), "sectionName": _HTTP}
        return {"gatewayHTTPRoute": {"parentRefs": [parent]}}

    def rules(self, site: Site) -> Iterator[tuple[tuple[str, *tuple[int, ...]], list[Object]]]:
        choices = Counter(
            key
            for (key, *_), route in site.placed_routes()
            if isinstance(route, Route) and route.match
        )
        for (key, *index), route in site.placed_routes():
            kind, _, path = key.rpartition(" ")
            # of several the first one counts in Portico, and the most specific one here
            is_plain = kind in {"", "=", "^~"} and choices[key] <= 1
            own = self._table(route) if isinstance(route, str) else route
            yield (
                (key, *index),
                self._rules(site, own, path, is_exact=kind == "=") if is_plain else [],
            )
        yield ("",), self._rules(site, site, "/", is_exact=False)

    def losses(self, name: str, site: Site) -> Iterator[str]:
        redirects = [table for each in site.handlings() if (table := _redirect(each))]
        if changed := sorted({r.status for r in redirects if _STATUSES[r.status] != r.status}):
            statuses = ", ".join(map(str, changed))
            what = "answer 301 or 302, after which a POST is a GET"
            yield f"{name}: redirects with {statuses} {what}"
        if not all(each.keep_path or each.keep_query for each in redirects):
            yield f"{name}: redirects keep the query of the request"

    def refused_keys(self, name: str, site: Site) -> Iterator[RefusedKey]:
        for key in ("headers", "request_headers"):
            tables = [getattr(each, key) for each in site.handlings()]
            headers = {n for t in tables if t for n, value in t.items() if _text(value) is None}
            if headers:
                advice = (
                    f"set those with variables in the controller: {', '.join(sorted(headers))}"
                )
                yield RefusedKey(name, key, advice)

    def objects(
        self, name: str, site: Site, hosts: Sequence[str], rules: Sequence[Object]
    ) -> Iterator[Object]:
        self._has_routes = True
        hosts = () if site.default else hosts  # without any, all names are its
        redirects = site.https and site.redirect_http
        if site.https:
            self._listeners += (_listener(host, secret_name(name)) for host in hosts or [""])
        parts = product(_parts(hosts) or [()], _parts(rules))
        for number, (some_hosts, some_rules) in enumerate(parts, 1):
            sections = [] if redirects else [_HTTP]
            if site.https:
                sections += (_section(host) for host in some_hosts or [""])
            suffix = "" if number == 1 else f"-{number}"
            yield self._route(f"{file_name(name)}{suffix}", sections, some_hosts, some_rules)
        if redirects:
            for number, some_hosts in enumerate(_parts(hosts) or [()], 1):
                suffix = "" if number == 1 else f"-{number}"
                rules = [{"filters": [_HTTPS_REDIRECT]}]
                yield self._route(
                    f"{file_name(name)}-redirect{suffix}", [_HTTP], some_hosts, rules
                )

    def shared_objects(self) -> Iterator[Object]:
        if self._has_routes:
            spec = {"gatewayClassName": self._class, "listeners": self._listeners}
            name = object_name(self._project)
            yield {**site_object(_VERSION, "Gateway", name, self._project), "spec": spec}

    def shared_losses(self) -> Iterator[str]:
        if (count := len(self._listeners)) > _MAX_LISTENERS:
            yield (
                f"the Gateway has {count} listeners, and {_MAX_LISTENERS} are allowed: divide it "
                "into several"
            )

    def _route(
        self, name: str, sections: Sequence[str], hosts: Sequence[str], rules: Sequence[Object]
    ) -> Object:
        gateway = object_name(self._project)
        spec: Object = {"parentRefs": [{"name": gateway, "sectionName": s} for s in sections]}
        if hosts:
            spec["hostnames"] = list(hosts)
        head = site_object(_VERSION, "HTTPRoute", name, self._project)
        return {**head, "spec": {**spec, "rules": list(rules)}}

    def _table(self, name: str) -> Route:
        return Route(app=name) if name in self._document.apps else Route(upstream=name)

    def _rules(self, site: Site, own: Site | Route, path: str, *, is_exact: bool) -> list[Object]:
        if not _PATH.fullmatch(path) or _FORBIDDEN_IN_PATHS.search(path):
            return []
        rule: Object = {}
        if redirect := _redirect(own):
            there = _redirect_filter(redirect, path, is_exact=is_exact)
            if there is None:
                return []
            rule["filters"] = [there]
        elif backends := self._backends(own):
            filters = [*_strip_filters(own, is_exact=is_exact), *_header_filters(site, own)]
            rule |= {"filters": filters} if filters else {}
            rule["backendRefs"] = backends
        else:
            return []
        place = {"path": {"type": "Exact" if is_exact else "PathPrefix", "value": path}}
        match = own.match if isinstance(own, Route) else None
        return [{"matches": [{**place, **each}], **rule} for each in _conditions(match)]

    def _backends(self, target: Target) -> list[Object]:
        """An upstream of several apps gives each as much as its instances weigh."""
        if target.app:
            return [_backend(target.app)]
        upstream = self._document.upstreams.get(target.upstream or "")
        if upstream is None or upstream.servers:
            return []
        if len(upstream.apps) == 1:
            return [_backend(upstream.apps[0])]
        apps = self._desired.apps
        weights = {name: apps[name].instances * apps[name].app.weight for name in upstream.apps}
        return [{**_backend(name), "weight": weight} for name, weight in weights.items()]


def _parts(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[at : at + _MAX_ITEMS] for at in range(0, len(items), _MAX_ITEMS)]


def _section(host: str) -> str:
    return f"https-{file_name(host)}" if host else "https"


def _listener(host: str, secret: str) -> Object:
    """Without a host for names that no other listener has."""
    return {
        "name": _section(host),
        **({"hostname": host} if host else {}),
        "port": 443,
        "protocol": "HTTPS",
        "tls": {"mode": "Terminate", "certificateRefs": [{"name": secret}]},
    }


def _backend(app: str) -> Object:
    return {"name": object_name(app), "port": SERVICE_PORT}


def _conditions(match: Match | None) -> list[Object]:
    """One for each method, as each rule with a rewritten path has one; none without an equal."""
    if match is None:
        return [{}]
    values = [value for _, _, value in match.values]
    is_plain = all(isinstance(v, str) and v and not v.startswith("~") for v in values)
    if match.cookie or not is_plain or not _METHODS.issuperset(match.methods):
        return []
    same: Object = {}
    for key, table in (("headers", match.header), ("queryParams", match.query)):
        if table:
            same[key] = [{"name": name, "value": value} for name, value in table.items()]
    return [{**same, "method": method} for method in match.methods] or [same]


def _redirect(target: Target) -> Redirect | None:
    to = target.redirect
    return Redirect(to=to) if isinstance(to, str) else to


def _redirect_filter(table: Redirect, path: str, *, is_exact: bool) -> Object | None:
    text = _text(table.to)
    to = urlsplit(text or "")
    if text is None or to.query or to.fragment or ":" in (to.hostname or ""):
        return None
    there: Object = {"scheme": to.scheme, "hostname": to.hostname} if to.hostname else {}
    if to.port:
        there["port"] = to.port
    if not table.keep_path:
        there["path"] = _replacement(to.path or "/", is_exact=True)
    elif base := to.path.rstrip("/"):
        there["path"] = _replacement(f"{base}{path}", is_exact=is_exact)
    there["statusCode"] = _STATUSES[table.status]
    return {"type": "RequestRedirect", "requestRedirect": there}


def _strip_filters(own: Site | Route, *, is_exact: bool) -> Iterator[Object]:
    if isinstance(own, Route) and own.strip_prefix:
        yield {"type": "URLRewrite", "urlRewrite": {"path": _replacement("/", is_exact=is_exact)}}


def _replacement(path: str, *, is_exact: bool) -> Object:
    if is_exact:
        return {"type": "ReplaceFullPath", "replaceFullPath": path}
    return {"type": "ReplacePrefixMatch", "replacePrefixMatch": path}


def _header_filters(site: Site, own: Site | Route) -> Iterator[Object]:
    requests = _header_changes(site.request_headers, own.request_headers)
    if requests:
        yield {"type": "RequestHeaderModifier", "requestHeaderModifier": requests}
    if answers := _header_changes(site.headers, own.headers):
        yield {"type": "ResponseHeaderModifier", "responseHeaderModifier": answers}


def _header_changes(*tables: Mapping[str, str] | None) -> Object:
    """What a route sets replaces what the site sets."""
    merged = {name.lower(): (name, value) for t in tables for name, value in (t or {}).items()}
    texts = {name: _text(value) for name, value in merged.values()}
    changes: Object = {}
    if kept := [{"name": name, "value": text} for name, text in texts.items() if text]:
        changes["set"] = kept
    if removed := [name for name, text in texts.items() if text == ""]:
        changes["remove"] = removed
    return changes


def _text(value: str) -> str | None:
    """Without variables; None where it has one."""
    return None if "$" in value.replace("$$", "") else value.replace("$$", "$")
