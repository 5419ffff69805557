"""The stream block: ports whose connections nginx passes on as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.core.model.balancing import Balance, Method
from portico.core.model.desired import Desired, DesiredStream
from portico.core.model.names import label_of
from portico.core.model.place import RenderContext
from portico.core.model.stream import Stream, stream_slug
from portico.core.model.upstream import Upstream
from portico.core.render.access_log import stream_log, stream_log_format
from portico.core.render.alpn import BACKLOG, alpn_server
from portico.core.render.directive import Directive, Raw, d, milliseconds
from portico.core.render.limits import access_lines
from portico.core.render.passing import tls_to_servers
from portico.core.render.upstream_block import method_line, network_map, peer_lines, zone_line

CONNECT_TIMEOUT: Final = 5.0
SILENCE_TIMEOUT: Final = 600.0
_TRIES: Final = ("3", "10s")
"""How many peers a connection is tried on, and for how long."""
_HTTP_MOMENTS: Final = {"header": "first_byte"}


def stream_block(desired: Desired, context: RenderContext) -> Iterator[Directive]:
    lines = (*alpn_server(desired, context), *_streams(desired, context))
    if lines:
        yield d("stream", block=lines)


def _streams(desired: Desired, context: RenderContext) -> Iterator[Directive]:
    if not desired.streams:
        return
    yield network_map()
    yield stream_log_format(desired)
    for key, each in desired.streams.items():
        yield from _upstream(key, each.stream, desired, context)
        yield d("server", block=_server(key, each, desired, context))


def _server(
    key: str, each: DesiredStream, desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    stream = each.stream
    for address in each.addresses:
        yield d("listen", f"{address}:{each.port}", "reuseport", BACKLOG, "so_keepalive=on")
    if stream.access_log:
        yield stream_log(key, context)
    yield from access_lines(stream.allow, stream.deny)
    yield from _timeouts(stream)
    yield from _next_upstream(stream)
    yield d("proxy_socket_keepalive", "on")
    yield from _tls(desired.upstreams[_target(stream)], each, context)
    yield d("proxy_pass", _upstream_name(key, stream))


def _timeouts(stream: Stream) -> Iterator[Directive]:
    connect, silence = stream.proxy_connect_timeout, stream.proxy_timeout
    yield d("proxy_connect_timeout", milliseconds(connect or CONNECT_TIMEOUT))
    yield d("proxy_timeout", milliseconds(silence or SILENCE_TIMEOUT))


def _next_upstream(stream: Stream) -> Iterator[Directive]:
    if not stream.proxy_next_upstream:
        yield d("proxy_next_upstream", "off")
        return
    tries, time = _TRIES
    yield d("proxy_next_upstream_tries", tries)
    yield d("proxy_next_upstream_timeout", time)


def _upstream(
    key: str, stream: Stream, desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    """Each stream has its own: the zone of nginx's http of that name is another one."""
    name, upstream = _upstream_name(key, stream), desired.upstreams[_target(stream)]
    lines = (
        zone_line(name, upstream, desired),
        *_method(stream.balance or upstream.balance, upstream),
        *peer_lines(upstream, desired, context),
    )
    yield d("upstream", name, block=lines)


def _method(balance: Balance, upstream: Upstream) -> Iterator[Directive]:
    """As of HTTP, in the words of nginx's stream, which has no ip_hash."""
    if balance.method is Method.IP_HASH:
        consistent = ("consistent",) if upstream.apps else ()
        yield d("hash", Raw("$portico_network"), *consistent)
        return
    words = balance.words
    if balance.method is Method.LEAST_TIME:
        words = tuple(_HTTP_MOMENTS.get(word, word) for word in words)
    yield from method_line(Balance(balance.method, words), of_apps=bool(upstream.apps))


def _tls(upstream: Upstream, each: DesiredStream, context: RenderContext) -> Iterator[Directive]:
    if upstream.tls:
        yield d("proxy_ssl", "on")
        yield from tls_to_servers(upstream, each.folder, context, "proxy")


def _target(stream: Stream) -> str:
    return stream.app or stream.upstream or ""


def _upstream_name(key: str, stream: Stream) -> str:
    """No app or upstream of an operator is called so: their names have no dot."""
    return f"{label_of(_target(stream))}.{stream_slug(key)}"
