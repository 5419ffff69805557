"""The way to other machines for bodies that cannot be sent twice: uploads that are not buffered,
and calls of gRPC.

nginx passes these on to the next peer of the same upstream, as long as nothing of them was sent.
So another machine has to be a peer there, which speaks as an instance does: a server of this nginx
by a socket that only its workers reach, which passes to other machines. It is a backup: it gets
what no own instance takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.core.model.desired import Desired
from portico.core.model.names import label_of
from portico.core.model.place import RenderContext
from portico.core.model.upstream import Upstream
from portico.core.render.alpn import FOLDER
from portico.core.render.crossed_passing import (
    MAX_SILENCE,
    crossed_basics,
    crossed_call,
    crossed_stream,
)
from portico.core.render.directive import Directive, Raw, directive
from portico.core.render.machines import (
    RECEIVER_KEEPALIVE,
    can_cross,
    far_upstream,
    is_away,
    tls_to_machines,
)
from portico.core.render.scope import digest

_CALL, _CALL_CODE, _CLOSED = "@call", "419", "@closed"
_CLOSE: Final = "444"
"""nginx closes the connection without an answer: in front, that is a failed try."""
SOCKET_PATTERN: Final = "[0-9a-f]" * 12
"""Names of the sockets in `FOLDER`, as `digest` makes them; no other name there is one."""


def is_relayed(upstream: Upstream, desired: Desired, context: RenderContext) -> bool:
    """Connections of instances with `max_conns` would be counted anew; a key has its machine."""
    return (
        can_cross(upstream, desired, context)
        and not is_away(upstream, desired, context)
        and not upstream.is_placed_by_key
        and not desired.has_max_conns(upstream)
    )


def relayed_upstream(name: str) -> str:
    return f"{label_of(name)}.relayed"


def relay_peer(name: str, context: RenderContext) -> Directive:
    return directive("server", _socket(name, context), "max_fails=0", "backup")


def relay_servers(
    streamed: frozenset[str], desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    for name in sorted(streamed & desired.upstreams.keys()):
        if is_relayed(desired.upstreams[name], desired, context):
            yield directive("server", block=_relay(name, context))


def _relay(name: str, context: RenderContext) -> Iterator[Directive]:
    machine = context.machine
    if machine is None:
        return
    far, app = far_upstream(name), label_of(name)
    yield directive("listen", _socket(name, context))
    yield from crossed_basics()
    yield directive("client_body_timeout", MAX_SILENCE)
    if "keepalive_min_timeout" in context.build.can:
        yield directive("keepalive_min_timeout", RECEIVER_KEEPALIVE)
    yield directive("keepalive_requests", "100000")
    is_call = Raw("($server_protocol = HTTP/2.0)")
    closed = directive("error_page", "502", "504", "=", _CLOSED)
    stream = (
        closed,
        directive("error_page", _CALL_CODE, "=", _CALL),
        directive("recursive_error_pages", "on"),
        directive("if", is_call, block=(directive("return", _CALL_CODE),)),
        *crossed_stream(app=app, kind="stream"),
        *tls_to_machines(machine, "proxy"),
        directive("proxy_pass", f"https://{far}"),
    )
    call = (
        closed,
        *crossed_call(app=app, kind="grpc"),
        *tls_to_machines(machine, "grpc"),
        directive("grpc_pass", f"grpcs://{far}"),
    )
    yield directive("location", "/", block=stream)
    yield directive("location", _CALL, block=call)
    yield directive("location", _CLOSED, block=(directive("return", _CLOSE),))


def _socket(name: str, context: RenderContext) -> str:
    return f"unix:{context.home}/nginx/{FOLDER}/{digest(name)}"
