"""Passing requests on to an upstream, and the second chance of those that may be repeated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from portico.core.model.place import Place
from portico.core.model.site import Site
from portico.core.model.upstream import Upstream
from portico.core.render.directive import Directive, Raw, WithDollar, d
from portico.core.render.headers import request_headers
from portico.core.render.pages import error_pages
from portico.core.render.scope import Scope
from portico.core.render.settings import timeouts

ONCE = "portico_once"


def passing_basics() -> tuple[Directive, ...]:
    """What holds for every request that is passed on.

    One that was sent is tried again only with a method that may be repeated (nginx's default,
    without `non_idempotent`). Buffers take headers of 16 KiB: cookies and tokens grow.
    """
    return (
        d(
            "map",
            Raw('"$request_method:$content_length:$http_transfer_encoding"'),
            Raw(f"${ONCE}"),
            block=(d("default", "1"), d('"~^(GET|HEAD|OPTIONS):0?:$"', "")),
        ),
        d("proxy_http_version", "1.1"),
        d("proxy_next_upstream", "error", "timeout"),
        d("proxy_next_upstream_tries", "3"),
        d("proxy_next_upstream_timeout", "10s"),
        d("proxy_buffer_size", "16k"),
        d("proxy_buffers", "8", "16k"),
        d("proxy_busy_buffers_size", "32k"),
        d("proxy_socket_keepalive", "on"),
    )


def passing(
    scope: Scope, name: str, upstream: Upstream, place: Place, again: str
) -> Iterator[Directive]:
    """The last lines of a location that passes requests to an upstream.

    When the list of an app's peers has changed under a request that must go to another peer,
    nginx gives up with 502 "no live upstreams". `again`, a named location, asks once more. Not
    for gRPC, where every call is a POST, and not for servers elsewhere, whose list stays.
    """
    if scope.value(lambda handling: handling.grpc):
        yield from timeouts(scope, "grpc")
        yield from request_headers(scope, "grpc_set_header")
        yield from _tls(upstream, scope, place, "grpc")
        yield d("grpc_next_upstream_tries", "3")
        yield d("grpc_pass", f"{'grpcs' if upstream.tls else 'grpc'}://{name}")
        return
    if has_second_chance(scope, upstream):
        yield from _with_second_chance(scope.site, again)
    yield from _tls(upstream, scope, place, "proxy")
    yield d("proxy_pass", f"{'https' if upstream.tls else 'http'}://{name}")


def has_second_chance(scope: Scope, upstream: Upstream) -> bool:
    return bool(upstream.apps) and not scope.value(lambda handling: handling.grpc)


def second_chance(again: str, name: str, settings: Iterable[Directive]) -> Directive:
    """A named location has nothing of the location it is entered from, only of the server."""
    once = d("if", Raw(f"(${ONCE})"), block=(d("return", "502"),))
    return d("location", again, block=(*settings, once, d("proxy_pass", f"http://{name}")))


def stripped(prefix: str) -> Iterator[Directive]:
    """Take the route's path off. Done by `rewrite`, because a named location cannot have a
    `proxy_pass` with a path and goes on with the path that is left.
    """
    pattern = rf"(?s)^{re.escape(prefix.rstrip('/'))}(?:/(.*))?$"
    yield d("rewrite", WithDollar(pattern), Raw("/$1"), "break")


def _with_second_chance(site: Site, again: str) -> Iterator[Directive]:
    yield d("error_page", "502", "=", again)
    # A location that has one error_page has no others of its server's.
    yield from error_pages(site, without="502")
    if site.error_pages:
        yield d("recursive_error_pages", "on")  # so that the second 502 gets its page


def _tls(upstream: Upstream, scope: Scope, place: Place, protocol: str) -> Iterator[Directive]:
    if not upstream.tls:
        return
    hosts = [server.address.rpartition(":")[0].strip("[]") for server in upstream.servers]
    yield d(f"{protocol}_ssl_server_name", "on")
    yield d(f"{protocol}_ssl_name", upstream.tls_name or hosts[0])
    if upstream.tls_verify:
        trusted = scope.path(upstream.tls_ca) if upstream.tls_ca else place.authorities
        yield d(f"{protocol}_ssl_verify", "on")
        yield d(f"{protocol}_ssl_verify_depth", "5")
        yield d(f"{protocol}_ssl_trusted_certificate", trusted)
