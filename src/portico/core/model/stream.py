"""A stream: a port of TCP or UDP, and where its connections go. Tables `[streams."PORT"]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from portico.core.model.balancing import StreamBalanceField
from portico.core.model.edge import parse_bind
from portico.core.model.name_types import AppName, Domain
from portico.core.model.site import Connections, Network
from portico.core.model.units import LAST_PORT, Duration, Kind, Table
from portico.core.model.value_text import value_text

_LISTEN = Kind('a port such as "5432", "127.0.0.1:5432" or "53/udp"')
_KEY = re.compile(r"(?:(\*|[0-9.]+|\[[0-9a-f:.]+\]):)?([1-9][0-9]{0,4})(/udp)?")


@dataclass(frozen=True, slots=True)
class StreamListen:
    """The key of a stream, taken apart."""

    address: str
    """As nginx's `listen` takes it; empty where the key has none."""
    port: int
    udp: bool = False


def parse_listen(key: str) -> StreamListen:
    """`5432`, `127.0.0.1:5432`, `[::1]:5432` or `*:5432`, of UDP `53/udp`; each can be written in
    one way only.
    """
    found, wrong = _KEY.fullmatch(key), f"must be {_LISTEN.text}, not {value_text(key)}"
    if not found or int(found[2]) > LAST_PORT:
        raise ValueError(wrong)
    try:
        address = parse_bind(found[1]) if found[1] else ""
    except ValueError:
        raise ValueError(wrong) from None
    if address != (found[1] or ""):
        right = f"{address}:{found[2]}{found[3] or ''}"
        raise ValueError(f"must be written as {value_text(right)}")
    return StreamListen(address, int(found[2]), udp=bool(found[3]))


def stream_slug(key: str) -> str:
    """The key as a part of names of files, zones and upstreams; no two have the same."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", key)


def _key(text: str) -> str:
    parse_listen(text)
    return text


StreamKey = Annotated[
    str,
    AfterValidator(_key),
    _LISTEN,
    WithJsonSchema({"type": "string", "pattern": f"^{_KEY.pattern}$"}),
]


AlpnProtocol = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._/-]{1,255}$"), Kind('a protocol such as "postgresql"')
]


class Stream(Table):
    """A port of TCP, whose connections nginx passes on as they are, or of UDP. The table's name is
    the port, `5432` or `53/udp`, or an address with it, `127.0.0.1:5432`. Without an address nginx
    listens on those of `[edge] bind`; default: loopback.
    """

    app: AppName | None = Field(None, description="Name of the app that answers.")
    upstream: AppName | None = Field(None, description="Name of the upstream that answers.")
    balance: StreamBalanceField | None = Field(
        None,
        description="The balancing method, as in nginx; default: that of the app or upstream.",
    )
    proxy_connect_timeout: Duration | None = Field(
        None, ge=0.001, description="Timeout for connecting to an instance; default: 5s."
    )
    proxy_timeout: Duration | None = Field(
        None,
        ge=0.001,
        description="How long a connection may be silent in both directions; default: 10m. For "
        "UDP the time after which a client that has sent nothing is forgotten; default: 1m.",
    )
    proxy_responses: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        None,
        description="UDP only: datagrams that answer one of a client, after which it is "
        "forgotten. 1 for DNS, 0 for syslog; default: any number.",
    )
    proxy_next_upstream: bool = Field(
        True, description="Try the next instance if one cannot be connected to."
    )
    proxy_protocol: bool = Field(
        False,
        description="Send the PROXY protocol's header to the app, which gets the client's address "
        "by it.",
    )
    set_real_ip_from: tuple[Network, ...] = Field(
        (),
        description="Networks of load balancers in front. Each connection must begin with the "
        "PROXY protocol's header, which is believed if it comes from them.",
    )
    server_names: dict[Domain, AppName] = Field(
        default_factory=dict,
        description="TLS that is passed on as it is: names that clients ask for (SNI), each with "
        "its app or upstream. Other names go to app or upstream, or are refused.",
    )
    tls: Domain | None = Field(
        None, description="End TLS here, with the certificate of this site of the file."
    )
    ssl_alpn: tuple[AlpnProtocol, ...] = Field(
        (), description="Protocols to agree on with clients where TLS ends here (ALPN)."
    )
    connection_limit: Connections | None = Field(
        None, description="Maximum number of connections of a client's address."
    )
    allow: tuple[Network, ...] = Field(
        (), description="Networks that have access; all others are denied."
    )
    deny: tuple[Network, ...] = Field((), description="Networks that are denied.")
    access_log: bool = Field(True, description="false: no access log for this stream.")

    @property
    def targets(self) -> tuple[str, ...]:
        """The apps and upstreams that its connections go to; first that of every other name."""
        first = self.app or self.upstream
        return tuple(dict.fromkeys((*filter(None, (first,)), *self.server_names.values())))
