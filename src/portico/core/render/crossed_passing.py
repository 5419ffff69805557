"""How a request that crosses is passed on, and its answer back: the same on the way to another
machine and from there to an instance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.core.render.directive import Directive, Raw, directive, milliseconds
from portico.core.render.headers import CONNECTION, UPGRADE
from portico.core.render.machines import CONNECT_TIMEOUT, crossing_headers
from portico.core.render.retries import tries_of_stream

MAX_SILENCE: Final = "1d"
"""The front has its own times, and hangs up."""
_HEADER_BUFFERS: Final = ("4", "80k")
"""Number and size: a line may be as long as all headers of a client together (`_connections` of
`basics`), and what is added on the way."""
_FORWARDED_HEADERS: Final = tuple(
    f"X-Accel-{word}" for word in ("Redirect", "Expires", "Limit-Rate", "Charset", "Buffering")
)
"""What an app says to nginx, and the front alone obeys."""


def crossed_basics() -> Iterator[Directive]:
    """Of a server for requests that cross: what the front has let in passes, and answers as well,
    which the front compresses if the site says so. Many cookies of HTTP/2 cross as one line.
    """
    yield directive("client_max_body_size", "0")
    yield directive("large_client_header_buffers", *_HEADER_BUFFERS)
    yield directive("gzip", "off")


def crossed_passing(app: str = "", kind: str = "") -> Iterator[Directive]:
    """All headers pass, but those of the crossing, which are for `app` if it crosses from here;
    what an app says to nginx passes too.
    """
    yield directive("proxy_set_header", "Host", Raw("$http_host"))
    yield directive("proxy_set_header", "Upgrade", Raw(f"${UPGRADE}"))
    yield directive("proxy_set_header", "Connection", Raw(f"${CONNECTION}"))
    yield from crossing_headers("proxy", app=app, kind=kind)
    yield directive("proxy_ignore_headers", *_FORWARDED_HEADERS)
    for header in _FORWARDED_HEADERS:
        yield directive("proxy_pass_header", header)
    yield directive("proxy_connect_timeout", milliseconds(CONNECT_TIMEOUT))
    yield directive("proxy_read_timeout", MAX_SILENCE)
    yield directive("proxy_send_timeout", MAX_SILENCE)
    yield directive("proxy_buffering", "off")


def crossed_stream(app: str = "", kind: str = "") -> Iterator[Directive]:
    """The same for a body that is passed on while it arrives."""
    yield from crossed_passing(app, kind)
    yield directive("proxy_request_buffering", "off")
    yield from tries_of_stream("proxy")


def crossed_call(app: str = "", kind: str = "") -> Iterator[Directive]:
    """The same for gRPC."""
    yield directive("client_body_timeout", MAX_SILENCE)
    yield directive("grpc_set_header", "Host", Raw("$http_host"))
    yield from crossing_headers("grpc", app=app, kind=kind)
    yield directive("grpc_connect_timeout", milliseconds(CONNECT_TIMEOUT))
    yield directive("grpc_read_timeout", MAX_SILENCE)
    yield directive("grpc_send_timeout", MAX_SILENCE)
    yield directive("grpc_buffer_size", "16k")
    yield from tries_of_stream("grpc")
