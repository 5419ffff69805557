"""Where nginx listens, and who answers there when no site has the name that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from portico.core.model.desired import Desired, Listeners
from portico.core.model.names import is_ip, url_host
from portico.core.model.neighbour import drained_mark_path
from portico.core.model.place import RenderContext
from portico.core.model.site import Site
from portico.core.render.access_log import access_log
from portico.core.render.alpn import BACKLOG, https_socket
from portico.core.render.challenge import is_redirected, shared_answer
from portico.core.render.directive import Directive, Raw, directive, literal
from portico.core.render.site_urls import HTTPS_PORT, port_suffix

REDIRECT_LOG: Final = "_redirects"
"""The name of their access log; no domain has a `_` in it."""
UNKNOWN_SERVER, REDIRECT_SERVER = "(unknown)", "(redirected)"
"""The servers that are no site's; a name of a site never looks like this."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """The sockets of all servers together."""

    listeners: Listeners
    http_default: str
    """Whose server takes requests for names that no site has."""
    https_default: str
    proxy_protocol: bool
    """Said by one site, it holds for all: they share their sockets."""
    inner_https: str = ""
    """Where https also comes from nginx itself; empty if it never does."""
    is_https_port_taken: bool = False
    """Somebody else has the port of https for now, and passes connections on."""

    @classmethod
    def of(cls, desired: Desired, context: RenderContext) -> Sockets:
        sites = desired.sites
        default = next((name for name, site in sites.items() if site.default), UNKNOWN_SERVER)
        return cls(
            desired.listeners,
            REDIRECT_SERVER
            if default != UNKNOWN_SERVER and is_redirected(default, desired)
            else default,
            default
            if default != UNKNOWN_SERVER and sites[default].https
            else _default_without_name(sites),
            any(site.real_ip and site.real_ip.proxy_protocol for site in sites.values()),
            https_socket(context.home) if desired.uses_tls_alpn else "",
            desired.uses_tls_alpn and context.asked_by_alpn,
        )

    def listen_lines(self, owner: str, *, tls: bool) -> Iterator[Directive]:
        """The options of a socket are said once, by the server that answers by default."""
        port = self.listeners.https if tls else self.listeners.http
        default = self.https_default if tls else self.http_default
        is_default = owner == default
        if tls and self.listeners.http3:
            options = ("default_server", "reuseport") if is_default else ()
            for address in self.listeners.addresses:
                yield directive("listen", f"{address}:{port}", "quic", *options)
        words: tuple[str, ...] = ("ssl",) if tls else ()
        if tls and self.inner_https:
            options = ("default_server", BACKLOG) if is_default else ()
            yield directive("listen", self.inner_https, *words, *options, "proxy_protocol")
            if self.is_https_port_taken:
                return
        words += ("default_server", "reuseport", BACKLOG) if is_default else ()
        words += ("proxy_protocol",) if self.proxy_protocol else ()
        for address in self.listeners.addresses:
            yield directive("listen", f"{address}:{port}", *words)

    @property
    def https_origin(self) -> str:
        """`https://$host:8443`, the port left out where it is the usual one."""
        return "https://$host" + port_suffix(self.listeners.client_https, HTTPS_PORT)


def server_names(*names: str) -> Directive:
    return directive("server_name", *map(url_host, names))


def shared_servers(
    desired: Desired, sockets: Sockets, context: RenderContext
) -> Iterator[Directive]:
    """The servers that are no site's."""
    if sockets.http_default == UNKNOWN_SERVER:
        yield _server(
            *sockets.listen_lines(UNKNOWN_SERVER, tls=False),
            server_names("_"),
            *health_answer(desired, sockets, UNKNOWN_SERVER, context),
            directive("location", "/", block=_misdirected_answer()),
        )
    yield from _rejecting_server(desired, sockets)
    redirected = {n: s for n, s in desired.sites.items() if is_redirected(n, desired)}
    if redirected:
        yield _redirect_server(redirected, desired, sockets, context)


def _default_without_name(sites: Mapping[str, Site]) -> str:
    """Who that asks for an IP address sends no name in the handshake (RFC 6066 3)."""
    by_address = (
        name
        for name, site in sites.items()
        if site.https and any(map(is_ip, (name, *site.aliases)))
    )
    return next(by_address, UNKNOWN_SERVER)


def _rejecting_server(desired: Desired, sockets: Sockets) -> Iterator[Directive]:
    """Refuses a handshake for a name that no site has.

    Where a site for an IP address is the default, every other name has to be caught by a
    regex, which nginx tries last.
    """
    any_https = any(site.https for site in desired.sites.values())
    default = desired.sites.get(sockets.https_default)
    if any_https and not (default and default.default):
        yield _server(
            *sockets.listen_lines(UNKNOWN_SERVER, tls=True),
            server_names("_" if default is None else "~."),
            directive("ssl_reject_handshake", "on"),
            *_misdirected_answer(),
        )


def _redirect_server(
    sites: Mapping[str, Site], desired: Desired, sockets: Sockets, context: RenderContext
) -> Directive:
    """One server for all names, since it treats them alike."""
    return _server(
        *sockets.listen_lines(REDIRECT_SERVER, tls=False),
        *(server_names(name, *site.aliases) for name, site in sites.items()),
        access_log(REDIRECT_LOG, desired, context),
        *shared_answer(desired, context, sockets.https_origin),
        *health_answer(desired, sockets, REDIRECT_SERVER, context),
        directive(
            "location",
            "/",
            block=(directive("return", "308", Raw(f"{sockets.https_origin}$request_uri")),),
        ),
    )


def health_answer(
    desired: Desired, sockets: Sockets, owner: str, context: RenderContext
) -> Iterator[Directive]:
    """For the checks of a load balancer, which asks for no site. A drain changes the answer
    without a reload.
    """
    if not desired.health_path or owner != sockets.http_default:
        return
    lines = [directive("access_log", "off"), directive("default_type", "text/plain")]
    if desired.machine:
        is_drained = Raw("(-f"), literal(drained_mark_path(context.home)), Raw(")")
        lines.append(directive("if", *is_drained, block=(directive("return", "503", "drained"),)))
    lines.append(directive("return", "200", "ok"))
    yield directive("location", "=", desired.health_path, block=lines)


def _misdirected_answer() -> Iterator[Directive]:
    """RFC 9110 15.5.20; also for a client that comes with another name over the connection of
    a site (RFC 9113 9.1.1).
    """
    yield directive("default_type", "text/plain")
    yield directive("return", "421", "No site here has this name.")


def _server(*lines: Directive) -> Directive:
    return directive("server", block=lines)
