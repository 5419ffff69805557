"""Passing requests on to an upstream."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Final
from urllib.parse import quote

from portico.core.model.desired import absolute
from portico.core.model.names import is_ip, label_of
from portico.core.model.place import RenderContext
from portico.core.model.upstream import Upstream
from portico.core.render.directive import Directive, Raw, WithDollar, directive, milliseconds
from portico.core.render.directive import quote as to_argument
from portico.core.render.headers import replaced_headers, request_headers
from portico.core.render.scope import Scope, digest
from portico.core.render.settings import read_timeout, timeouts

BUFFER: Final = str((16 << 10) - 32)
"""Bytes; takes the headers of an answer, where cookies and tokens grow. With all of 16 KiB, musl,
in the nginx of the wheel, maps and unmaps memory for most requests.
"""


def passing_basics() -> tuple[Directive, ...]:
    """What holds for every request that is passed on.

    nginx itself tries once: what it counts as one try may reach several programs, because it
    does not count a kept connection that breaks. Between two pieces of an upload nginx looks
    whether an answer has come: who answers and closes without reading the body makes the next
    write fail, which is 502.
    """
    return (
        directive("proxy_http_version", "1.1"),
        directive("proxy_next_upstream", "off"),
        directive("proxy_buffer_size", BUFFER),
        directive("proxy_buffers", "8", BUFFER),
        directive("proxy_busy_buffers_size", "32k"),
        directive("proxy_socket_keepalive", "on"),
        directive("sendfile_max_chunk", "64k"),
    )


def pass_to_upstream(
    scope: Scope, name: str, upstream: Upstream, context: RenderContext, prefix: str
) -> Iterator[Directive]:
    """The last lines of a location; `prefix` was taken off the path."""
    host = label_of(name)
    if scope.value(lambda handling: handling.grpc):
        yield from grpc_settings(scope, prefix)
        yield from _untrusted_redirects(upstream, "grpc")
        yield from tls_to_servers(upstream, scope.folder, context, "grpc")
        yield directive("grpc_pass", f"{'grpcs' if upstream.tls else 'grpc'}://{host}")
        return
    yield from _untrusted_redirects(upstream, "proxy")
    yield from tls_to_servers(upstream, scope.folder, context, "proxy")
    yield directive("proxy_pass", proxy_target(url_of(upstream, host), prefix))


def grpc_settings(
    scope: Scope, prefix: str, connect_timeout: float | None = None
) -> Iterator[Directive]:
    """`connect_timeout` in seconds; that of the site if None."""
    connect, *others = timeouts(scope, "grpc")
    own = connect_timeout and directive("grpc_connect_timeout", milliseconds(connect_timeout))
    yield from (own or connect, *others)
    # A stream in which the client is silent is a body that does not go on.
    yield directive("client_body_timeout", milliseconds(read_timeout(scope)))
    yield directive("grpc_buffer_size", "16k")
    yield from request_headers(scope, "grpc_set_header", prefix)
    yield from replaced_headers(scope, "grpc_hide_header")


def proxy_target(url: str, prefix: str) -> str:
    """`url` with what is left of the path when `prefix` was taken off."""
    return WithDollar(f"{url}${rest_variable(prefix)}" if prefix else url)


def url_of(upstream: Upstream, host: str) -> str:
    """For `proxy_pass`; `host` is the name of an upstream block."""
    return f"{'https' if upstream.tls else 'http'}://{host}"


def _untrusted_redirects(upstream: Upstream, protocol: str) -> Iterator[Directive]:
    """Apps and servers of this machine may have nginx answer with an `internal` route, or any
    other; a server elsewhere may not.
    """
    hosts = (server.address.rpartition(":")[0].strip("[]") for server in upstream.servers)
    if not all(map(_is_here, hosts)):
        yield directive(f"{protocol}_ignore_headers", "X-Accel-Redirect")


def _is_here(host: str) -> bool:
    return host in {"unix", "localhost"} or (is_ip(host) and ip_address(host).is_loopback)


def rest_maps(prefixes: Iterable[str]) -> Iterator[Directive]:
    """What is left of the path and query that a client sent, byte for byte, when a prefix is
    taken off. Empty where the client wrote the prefix in another way (`/%61pi`): then nginx's
    own form of the path passes, which `strip_lines` makes.
    """
    for prefix in dict.fromkeys(prefixes):
        sent = re.escape(quote(prefix))
        lines = (
            directive("default", ""),
            directive(to_argument(WithDollar(f"~^{sent}(/.*)$")), Raw("$1")),
            directive(to_argument(WithDollar(rf"~^{sent}(\?.*)?$")), Raw("/$1")),
        )
        yield directive("map", Raw("$request_uri"), Raw(f"${rest_variable(prefix)}"), block=lines)


def rest_variable(prefix: str) -> str:
    return f"portico_rest_{digest(prefix)}"


def strip_lines(prefix: str) -> Iterator[Directive]:
    """Take the route's path off. Done by `rewrite`, because a named location cannot have a
    `proxy_pass` with a path and goes on with the path that is left.
    """
    pattern = rf"(?s)^{re.escape(prefix.rstrip('/'))}(?:/(.*))?$"
    yield directive("rewrite", WithDollar(pattern), Raw("/$1"), "break")


def tls_to_servers(
    upstream: Upstream, folder: str, context: RenderContext, protocol: str
) -> Iterator[Directive]:
    """`folder` is the file's; `protocol` begins the names of the directives."""
    if not upstream.tls:
        return
    hosts = [server.address.rpartition(":")[0].strip("[]") for server in upstream.servers]
    yield directive(f"{protocol}_ssl_server_name", "on")
    yield directive(f"{protocol}_ssl_name", upstream.tls_name or hosts[0])
    if upstream.tls_verify:
        trusted = absolute(upstream.tls_ca, folder) if upstream.tls_ca else context.authorities
        yield directive(f"{protocol}_ssl_verify", "on")
        yield directive(f"{protocol}_ssl_verify_depth", "5")
        yield directive(f"{protocol}_ssl_trusted_certificate", trusted)
