"""The stream block: ports whose connections nginx passes on as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.core.model.balancing import Balance, Method
from portico.core.model.desired import Desired, DesiredStream
from portico.core.model.names import label_of
from portico.core.model.place import ExtraCertificate, RenderContext
from portico.core.model.stream import Stream, stream_slug
from portico.core.model.upstream import Upstream
from portico.core.render.access_log import stream_log, stream_log_format
from portico.core.render.alpn import BACKLOG, alpn_server
from portico.core.render.basics import name_hash, server_name_hash
from portico.core.render.directive import Directive, Raw, directive, milliseconds
from portico.core.render.limits import access_lines
from portico.core.render.listeners import server_names
from portico.core.render.passing import tls_to_servers
from portico.core.render.scope import digest
from portico.core.render.site_server import trusted_networks
from portico.core.render.tls import certificate, tls_basics
from portico.core.render.upstream_block import method_line, network_map, peer_lines, zone_line

CONNECT_TIMEOUT: Final = 5.0
SILENCE_TIMEOUT: Final = 600.0
UDP_SILENCE_TIMEOUT: Final = 60.0
_TRIES: Final = ("3", "10s")
"""How many peers a connection is tried on, and for how long."""
_HANDSHAKE_TIMEOUT: Final = "15s"
_MAP_WORDS: Final = frozenset({"default", "hostnames", "include", "volatile"})
"""What means something else in a map, and is a name after a backslash."""
_HTTP_MOMENTS: Final = {"header": "first_byte"}


def stream_block(desired: Desired, context: RenderContext) -> Iterator[Directive]:
    names = (n for each in desired.streams.values() for n in each.stream.server_names)
    lines = (
        *name_hash(names),  # nginx takes it only before the first map
        *alpn_server(desired, context),
        *_streams(desired, context),
    )
    if lines:
        yield directive("stream", block=lines)


def _streams(desired: Desired, context: RenderContext) -> Iterator[Directive]:
    if not desired.streams:
        return
    yield network_map()
    yield stream_log_format(desired)
    if any(each.stream.tls for each in desired.streams.values()):
        yield from tls_basics(context.build, "portico_stream")
    if names := [n for each in desired.streams.values() for n in _names_apart(each, context)]:
        yield from server_name_hash(names)
    for key, each in desired.streams.items():
        if each.stream.connection_limit:
            yield directive("limit_conn_zone", Raw("$binary_remote_addr"), f"zone={_zone(key)}:1m")
        for target in each.stream.targets:
            yield from _upstream(key, target, each.stream, desired, context)
        yield from _name_map(key, each.stream)
        for part in _parts(each.stream, context):
            yield directive("server", block=_server(key, each, part, desired, context))


def _parts(stream: Stream, context: RenderContext) -> Iterator[ExtraCertificate]:
    """One server for every name, and one for each certificate that others of its site have."""
    yield ExtraCertificate((), context.certificates[stream.tls] if stream.tls else ())
    yield from context.apart.get(stream.tls or "", ())


def _names_apart(each: DesiredStream, context: RenderContext) -> Iterator[str]:
    for part in context.apart.get(each.stream.tls or "", ()):
        yield from part.names


def _server(
    key: str, each: DesiredStream, part: ExtraCertificate, desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    stream = each.stream
    for address in each.addresses:
        words = _listen_words(each, is_first=not part.names)
        yield directive("listen", f"{address}:{each.port}", *words)
    if part.names:
        yield server_names(*part.names)
    yield from trusted_networks(stream.set_real_ip_from)
    if stream.access_log:
        yield stream_log(key, context)
    yield from access_lines(stream.allow, stream.deny)
    if stream.connection_limit:
        yield directive("limit_conn", _zone(key), str(stream.connection_limit))
    yield from _certificates(stream, part)
    yield from _timeouts(stream, udp=each.udp)
    yield from _next_upstream(stream)
    if not each.udp:
        yield directive("proxy_socket_keepalive", "on")
    if stream.proxy_responses is not None:
        yield directive("proxy_responses", str(stream.proxy_responses))
    if stream.proxy_protocol:
        yield directive("proxy_protocol", "on")
    if stream.server_names:
        yield directive("ssl_preread", "on")
        yield directive("preread_timeout", _HANDSHAKE_TIMEOUT)
        yield directive("proxy_pass", Raw(f"${_name_variable(key)}"))
        return
    yield from _tls(desired.upstreams[stream.targets[0]], each, context)
    yield directive("proxy_pass", _upstream_name(key, stream.targets[0]))


def _listen_words(each: DesiredStream, *, is_first: bool) -> Iterator[str]:
    """With `reuseport` the datagrams of a client come to one worker, which knows its session. The
    options of a socket are said once.
    """
    if each.udp:
        yield from ("udp", "reuseport")
        return
    if is_first:
        yield from ("reuseport", BACKLOG, "so_keepalive=on")
    if each.stream.tls:
        yield "ssl"
    if each.stream.set_real_ip_from:
        yield "proxy_protocol"


def _certificates(stream: Stream, part: ExtraCertificate) -> Iterator[Directive]:
    if not stream.tls:
        return
    for pair in part.certificates:  # one for each kind of key
        yield from certificate(pair)
    yield directive("ssl_handshake_timeout", _HANDSHAKE_TIMEOUT)
    if stream.ssl_alpn:
        yield directive("ssl_alpn", *stream.ssl_alpn)


def _name_map(key: str, stream: Stream) -> Iterator[Directive]:
    """Where a client goes by the name that it asks for. With an empty text nginx closes its
    connection.
    """
    if not stream.server_names:
        return
    other = stream.app or stream.upstream
    default = _upstream_name(key, other) if other else ""
    lines = (
        directive("hostnames"),
        directive("default", default),
        *(
            directive(f"\\{name}" if name in _MAP_WORDS else name, _upstream_name(key, target))
            for name, target in stream.server_names.items()
        ),
    )
    yield directive(
        "map", Raw("$ssl_preread_server_name"), Raw(f"${_name_variable(key)}"), block=lines
    )


def _timeouts(stream: Stream, *, udp: bool) -> Iterator[Directive]:
    silence = UDP_SILENCE_TIMEOUT if udp else SILENCE_TIMEOUT
    yield directive(
        "proxy_connect_timeout", milliseconds(stream.proxy_connect_timeout or CONNECT_TIMEOUT)
    )
    yield directive("proxy_timeout", milliseconds(stream.proxy_timeout or silence))


def _next_upstream(stream: Stream) -> Iterator[Directive]:
    if not stream.proxy_next_upstream:
        yield directive("proxy_next_upstream", "off")
        return
    tries, time = _TRIES
    yield directive("proxy_next_upstream_tries", tries)
    yield directive("proxy_next_upstream_timeout", time)


def _upstream(
    key: str, target: str, stream: Stream, desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    """Each stream has its own: the zone of nginx's http of that name is another one."""
    name, upstream = _upstream_name(key, target), desired.upstreams[target]
    lines = (
        zone_line(name, upstream, desired),
        *_method(stream.balance or upstream.balance, upstream),
        *peer_lines(target, upstream, desired, context),
    )
    yield directive("upstream", name, block=lines)


def _method(balance: Balance, upstream: Upstream) -> Iterator[Directive]:
    """As of HTTP, in the words of nginx's stream, which has no ip_hash."""
    if balance.method is Method.IP_HASH:
        consistent = ("consistent",) if upstream.is_discovered else ()
        yield directive("hash", Raw("$portico_network"), *consistent)
        return
    words = balance.words
    if balance.method is Method.LEAST_TIME:
        words = tuple(_HTTP_MOMENTS.get(word, word) for word in words)
    yield from method_line(Balance(balance.method, words), of_apps=upstream.is_discovered)


def _tls(upstream: Upstream, each: DesiredStream, context: RenderContext) -> Iterator[Directive]:
    if upstream.tls:
        yield directive("proxy_ssl", "on")
        yield from tls_to_servers(upstream, each.folder, context, "proxy")


def _upstream_name(key: str, target: str) -> str:
    """No app or upstream of an operator is called so: their names have no dot."""
    return f"{label_of(target)}.{stream_slug(key)}"


def _zone(key: str) -> str:
    return f"connections-{stream_slug(key)}"


def _name_variable(key: str) -> str:
    return f"portico_name_{digest(key)}"
