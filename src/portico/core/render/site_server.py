"""The `server` blocks of a site."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from portico.core.model.desired import Desired, paths
from portico.core.model.names import is_ip
from portico.core.model.place import ExtraCertificate, RenderContext
from portico.core.model.site import RealIp, Site
from portico.core.render.access_log import site_log
from portico.core.render.auth import auth_locations
from portico.core.render.cache import room_check
from portico.core.render.challenge import INSECURE_VARIABLE, is_redirected, site_answer
from portico.core.render.claims import ORIGIN_VARIABLE, PLAIN_VARIABLE, trusted_peers, trusts
from portico.core.render.client_certificates import verification
from portico.core.render.directive import Directive, Raw, directive
from portico.core.render.identity import sign_in_page
from portico.core.render.listeners import Sockets, health_answer, server_names
from portico.core.render.location import locations
from portico.core.render.pages import error_pages, page_locations
from portico.core.render.retries import failed_location, full_location
from portico.core.render.scope import Scope
from portico.core.render.settings import DEFAULTS, difference, settings
from portico.core.render.tls import certificate

PLAIN_TO_TLS = "497"
"""nginx's own code for a plain request on a port of TLS."""


def site_servers(
    scopes: Sequence[Scope], desired: Desired, sockets: Sockets, context: RenderContext
) -> Iterator[Directive]:
    """`scopes` are the site and then its routes. One server, or one for each certificate that
    some of its names have: nginx chooses it by the server, with the rights of its master.
    """
    name, site = scopes[0].name, scopes[0].site
    parts = context.apart.get(name, ()) if site.https else ()
    others = {each for part in parts for each in part.names}
    names = tuple(each for each in (name, *site.aliases) if each not in others)
    first = ExtraCertificate(names, context.certificates[name] if site.https else ())
    every = (first, *parts)
    default = first if site.default else next(filter(_has_address, every), first)
    for part in every:
        owner = name if part is default else ""
        yield directive("server", block=_lines(scopes, part, owner, desired, sockets, context))


def _has_address(part: ExtraCertificate) -> bool:
    """Who that asks for it sends no name, and gets the server of the default."""
    return any(map(is_ip, part.names))


def _lines(
    scopes: Sequence[Scope],
    part: ExtraCertificate,
    owner: str,
    desired: Desired,
    sockets: Sockets,
    context: RenderContext,
) -> Iterator[Directive]:
    scope = scopes[0]
    name, site = scope.name, scope.site
    if not is_redirected(name, desired):
        yield from sockets.listen_lines(owner, tls=False)
    if site.https:
        yield from sockets.listen_lines(owner, tls=True)
    yield server_names(*part.names)
    if site.https:
        for files in part.certificates:
            yield from certificate(files)
        yield from verification(scope, context, is_default=owner == sockets.https_default)
        yield from _https_redirect(site, sockets)
    yield from site_log(name, site, desired, context)
    yield from _real_ip(site.real_ip)
    yield from trusted_peers(name, site)
    if site.https and site.redirect_http and not is_redirected(name, desired):
        yield _insecure_redirect(site, sockets)
    yield from room_check(scopes, context)
    own = settings(scope)
    above = DEFAULTS
    if site.include:  # one such line of the operator's, and nginx inherits none of ours
        above = {group: lines for group, lines in DEFAULTS.items() if group != "request headers"}
    yield from difference(own, above)
    yield from sign_in_page(scope)
    yield from error_pages(site)
    yield from page_locations(scope)
    if not is_redirected(name, desired):
        yield from site_answer(scopes, desired, context)
        yield from health_answer(desired, sockets, owner, context)
    yield from auth_locations(scopes, desired, context)
    yield from locations(scopes, own, desired, context)
    reached = {part.target.app or part.target.upstream for part in scopes} - {None}
    if reached:
        yield failed_location()
    if any(desired.has_max_conns(desired.upstreams[n]) for n in reached if n):
        yield full_location()
    yield from includes(scope.folder, site.include)


def includes(folder: str, files: str | tuple[str, ...]) -> Iterator[Directive]:
    """The only place where lines that are not Portico's come in."""
    for path in paths(files, folder):
        yield directive("include", path)


def _insecure_redirect(site: Site, sockets: Sockets) -> Directive:
    """In a server for plain requests too, of which not all are redirected."""
    trusting = trusts(site)
    variable, origin = (
        (PLAIN_VARIABLE, f"${ORIGIN_VARIABLE}")
        if trusting
        else (INSECURE_VARIABLE, sockets.https_origin)
    )
    to = Raw(f"{origin}$request_uri")
    return directive("if", Raw(f"(${variable})"), block=(directive("return", "308", to),))


def _https_redirect(site: Site, sockets: Sockets) -> Iterator[Directive]:
    """Who types http:// before the port of https is sent to https://."""
    if PLAIN_TO_TLS not in site.error_pages:
        to = Raw(f"{sockets.https_origin}$request_uri")
        yield directive("error_page", PLAIN_TO_TLS, "=308", to)


def trusted_networks(networks: Iterable[str]) -> Iterator[Directive]:
    for network in networks:
        for part in ("0.0.0.0/0", "::/0") if network == "all" else (network,):
            yield directive("set_real_ip_from", part)


def _real_ip(real_ip: RealIp | None) -> Iterator[Directive]:
    if real_ip is None:
        return
    yield from trusted_networks(real_ip.trust)
    by_protocol = real_ip.proxy_protocol
    yield directive("real_ip_header", "proxy_protocol" if by_protocol else real_ip.header)
    yield directive("real_ip_recursive", "on" if real_ip.recursive else "off")
