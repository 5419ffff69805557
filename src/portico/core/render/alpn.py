"""TLS-ALPN-01 (RFC 8737) behind nginx: who speaks `acme-tls/1` is passed on to who answers.

nginx's http refuses that protocol. So for the time of a challenge a stream listener has the port
of https, looks into each handshake, and passes all others on to the https servers, with the
client's address, by a socket that only nginx's workers reach. The servers listen there also while
nobody is asked: what an old worker took just before a reload still finds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.core.model.desired import Desired
from portico.core.model.place import RenderContext
from portico.core.render.directive import Directive, Raw, directive
from portico.errors import Refused

FOLDER: Final = "temp/alpn"
"""In HOME/nginx."""
INNER_SOCKET: Final = f"{FOLDER}/https"
ANSWER_SOCKET: Final = f"{FOLDER}/acme"
BACKLOG: Final = "backlog=4096"
MAX_PATH_LENGTH: Final = 107  # sun_path of unix(7), less its closing zero
_TARGET_VARIABLE: Final = "$portico_asked"


def https_socket(home: str) -> str:
    """Where the https servers listen for what nginx passes on to itself."""
    return _socket(home, INNER_SOCKET)


def answer_socket(home: str) -> str:
    """The unix socket of whoever answers the authority."""
    return f"{home}/nginx/{ANSWER_SOCKET}"


def socket_trust() -> Iterator[Directive]:
    """Only workers of this nginx can come by a unix socket, and they tell the truth."""
    yield directive("set_real_ip_from", "unix:")
    yield directive("real_ip_header", "proxy_protocol")


def alpn_server(desired: Desired, context: RenderContext) -> Iterator[Directive]:
    """A server of the stream block. It has the port with the same options as http had: then the
    sockets stay the same ones, and a reload loses none of the connections that wait in them.
    """
    if not (context.asked_by_alpn and desired.uses_tls_alpn):
        return
    listeners = desired.listeners
    yield directive(
        "map",
        Raw("$ssl_preread_alpn_protocols"),
        Raw(_TARGET_VARIABLE),
        block=(
            directive("acme-tls/1", _socket(context.home, ANSWER_SOCKET)),
            directive("default", https_socket(context.home)),
        ),
    )
    yield directive(
        "server",
        block=(
            *(
                directive("listen", f"{address}:{listeners.https}", "reuseport", BACKLOG)
                for address in listeners.addresses
            ),
            directive("ssl_preread", "on"),
            directive("preread_timeout", "15s"),
            directive("proxy_protocol", "on"),
            # How long a connection may be silent is for the https servers to say.
            directive("proxy_timeout", "1d"),
            directive("proxy_pass", Raw(_TARGET_VARIABLE)),
        ),
    )


def _socket(home: str, name: str) -> str:
    path = f"{home}/nginx/{name}"
    if len(path.encode()) > MAX_PATH_LENGTH:
        raise Refused(
            f"cannot use tls-alpn-01: the path of the unix socket {path} is longer than "
            f"{MAX_PATH_LENGTH} bytes; choose a shorter PORTICO_HOME, or http-01"
        )
    return f"unix:{path}"
