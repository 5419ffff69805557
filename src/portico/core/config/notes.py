"""What is worth saying of a file although nothing is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from portico.core.config.auth_rules import sign_in_loop
from portico.core.config.findings import Path, path_text
from portico.core.config.references import names_reached
from portico.core.model.app import App
from portico.core.model.balancing import Sticky
from portico.core.model.document import Document
from portico.core.model.names import is_local_name
from portico.core.model.site import Hsts, RequestSettings, Site
from portico.core.model.stream import Stream
from portico.core.model.upstream import Upstream

_MAX_NAMED_APPS = 5
_YEAR_SECONDS = 31536000
_GROUP_KEYS = {"max_fails", "fail_timeout"}
_Note: TypeAlias = tuple[Path, str]


def notes(document: Document, *, root: bool = False) -> list[str]:
    """Sentences, each after the key that it is about. `root` is whether Portico is."""
    found = [*_public(document, root=root), *_http3(document), *_short_timeouts(document)]
    found += _unused_notes(document)
    together = {name for upstream in document.upstreams.values() for name in upstream.apps}
    for name, app in document.apps.items():
        found += _app(("apps", name), app, alone=name not in together)
    for name, upstream in document.upstreams.items():
        found += _upstream(("upstreams", name), upstream)
    for key, stream in document.streams.items():
        found += _denial_of_all(("streams", key), stream)
        found += _placed_streams(("streams", key), stream, document)
    for name, site in document.sites.items():
        found += _site(("sites", name), site, document)
    return [
        *as_root(document.apps, root=root),
        *(f"{path_text(path)}: {text}" for path, text in found),
    ]


def as_root(apps: Mapping[str, App], *, root: bool) -> list[str]:
    """One note for all whose programs run as root because nothing else was said."""
    named = [name for name, app in apps.items() if root and not app.user]
    return _app_notes(
        named,
        one="has no user, so its program runs as root",
        several="have no user, so their programs run as root",
    )


def open_to_all(apps: Sequence[str]) -> list[str]:
    """One note for all of these, which listen on all addresses."""
    return _app_notes(
        apps,
        one="listens on all addresses, so clients can bypass nginx; make it listen on 127.0.0.1 "
        "($HOST)",
        several="listen on all addresses, so clients can bypass nginx; make them listen on "
        "127.0.0.1 ($HOST)",
    )


def _app_notes(apps: Sequence[str], *, one: str, several: str) -> list[str]:
    match apps:
        case []:
            return []
        case [name]:
            return [f"{path_text(('apps', name))}: {one}"]
        case _:
            named = ", ".join(apps[:_MAX_NAMED_APPS])
            more = len(apps) - _MAX_NAMED_APPS
            return [f"apps: {named}{f' and {more} more' if more > 0 else ''} {several}"]


def _public(document: Document, *, root: bool) -> Iterator[_Note]:
    names = (name for site in document.sites for name in (site, *document.sites[site].aliases))
    public = next((name for name in names if not is_local_name(name)), None)
    if public and document.edge.bind is None:
        why = f'nginx listens on all addresses, because "{public}" is a public name'
        yield ("edge", "bind"), why
    if public and not root and document.edge.http is None:
        what = (
            f'"{public}" is a public name, but nginx listens on 8080 and 8443 without root; run '
            "Portico as root, or set http = 80 and https = 443 after `sudo sysctl -w "
            "net.ipv4.ip_unprivileged_port_start=80`"
        )
        yield ("edge", "http"), what


def _http3(document: Document) -> Iterator[_Note]:
    if document.edge.http3:
        what = "a reload of nginx delays or ends connections of HTTP/3; see docs/requests.md"
        yield ("edge", "http3"), what


def _short_timeouts(document: Document) -> Iterator[_Note]:
    limit = document.edge.shutdown_timeout
    served = names_reached(document)
    apps = {name: app for name, app in document.apps.items() if name in served and app.listens}
    longest = max(apps, key=lambda name: apps[name].drain_timeout, default=None)
    if longest is not None and apps[longest].drain_timeout >= limit:
        waits = f"{longest} may drain for {apps[longest].drain_timeout:g}s"
        yield ("edge", "shutdown_timeout"), f"should be longer than {limit}s: {waits}"


def _unused_notes(document: Document) -> Iterator[_Note]:
    if not (document.sites or document.streams):
        return
    served = names_reached(document)
    for name, app in document.apps.items():
        if app.listens and name not in served:
            what = "no site or stream passes requests to it; for a worker, set port = false"
            yield ("apps", name), what
    for name in document.upstreams:
        if name not in served:
            yield ("upstreams", name), "no site or stream passes requests to it"


def _app(path: Path, app: App, *, alone: bool) -> Iterator[_Note]:
    if app.listens and app.port_env in app.env:
        yield (
            (*path, "env", app.port_env),
            "is not passed on: Portico sets it to each instance's own port",
        )
    if alone and app.instances == 1:
        for key in sorted(app.model_fields_set & _GROUP_KEYS):
            yield (*path, key), "has no effect: nginx never disables the only peer"
    elif "fail_timeout" in app.model_fields_set and not app.max_fails:
        yield (*path, "fail_timeout"), "has no effect: max_fails is 0"
    if alone and app.instances == 1 and app.slow_start:
        yield (*path, "slow_start"), "has no effect with a single instance"
    if alone and app.weight > 1 and not any(slot.weight for slot in app.slots.values()):
        yield (*path, "weight"), "has no effect: all instances have the same weight"


def _upstream(path: Path, upstream: Upstream) -> Iterator[_Note]:
    if len(upstream.servers) == 1 and not upstream.apps:
        for key in sorted(upstream.servers[0].model_fields_set & _GROUP_KEYS):
            yield (*path, "servers", 0, key), "has no effect: nginx never disables the only peer"
    addresses = [server.address for server in upstream.servers]
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            yield (*path, "servers", index), f'has "{address}" twice'
    for key in sorted(upstream.model_fields_set & {"tls_name", "tls_verify", "tls_ca"}):
        if not upstream.tls:
            yield (*path, key), "has no effect without tls = true"


def _site(path: Path, site: Site, document: Document) -> Iterator[_Note]:
    match site.hsts:
        case Hsts(preload=True, include_subdomains=whole, max_age=age) if (
            not whole or age < _YEAR_SECONDS
        ):
            need = "include_subdomains and a max_age of a year or more"
            yield (*path, "hsts", "preload"), f"browsers' preload lists require {need}"
        case _:
            pass
    if not site.https and site.certificate is not None:
        yield (*path, "certificate"), "has no effect with https = false"
    if not site.https and _sticky_cookie_is_secure(site, document):
        yield path, "its sticky cookie is secure, so it is lost with https = false"
    yield from _request_notes(path, site, site)
    for place, route in site.placed_routes():
        if not isinstance(route, str):
            yield from _request_notes((*path, "routes", *place), route, site)


def _placed_streams(path: Path, stream: Stream, document: Document) -> Iterator[_Note]:
    for name in stream.targets:
        app = document.apps.get(name)
        if app and app.on:
            what = f"is answered only where {name} runs: its connections do not cross to other "
            yield path, f"{what}machines"


def _sticky_cookie_is_secure(site: Site, document: Document) -> bool:
    app = document.apps.get(site.app or "")
    upstream = document.upstreams.get(site.upstream or "")
    sticky = app.sticky if app else upstream.sticky if upstream else False
    return sticky is True or (isinstance(sticky, Sticky) and sticky.secure)


def _request_notes(path: Path, handling: RequestSettings, site: Site) -> Iterator[_Note]:
    yield from _denial_of_all(path, handling)
    if sign_in_loop(site, handling):
        what = "requires a sign-in too, so clients may be redirected in a loop"
        yield (*path, "auth", "sign_in"), f"{what}; add a route for it with auth = false"


def _denial_of_all(path: Path, handling: RequestSettings | Stream) -> Iterator[_Note]:
    if "all" in handling.deny and not handling.allow:
        yield (*path, "deny"), 'denies everyone: it has "all", and allow is empty'
