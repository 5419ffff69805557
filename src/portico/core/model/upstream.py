"""An upstream: a group of peers. Tables `[upstreams.NAME]`, and one implied by every app."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from portico.core.model.app import Weight
from portico.core.model.balancing import BalanceField, Sticky
from portico.core.model.check import CheckPath, ServerCheck
from portico.core.model.name_types import AppName
from portico.core.model.names import parse_domain
from portico.core.model.units import LAST_PORT, Count, Duration, Kind, NginxPath, Table
from portico.core.model.value_text import value_text

_ADDRESS = Kind('an address such as "10.0.0.5:3000", "[::1]:3000" or "unix:/run/app.sock"')


def parse_address(text: str) -> str:
    """`host:port`, `[::1]:port` or `unix:/path`, as nginx's `server` takes it; port 80 if none."""
    if re.fullmatch(r"unix:/[A-Za-z0-9_./@-]+", text):
        return text
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/\s*]+)(?::([0-9]{1,5}))?", text)
    if not found or (found[2] and not 1 <= int(found[2]) <= LAST_PORT):
        raise ValueError(_no_address(text))
    try:
        bare = found[1].strip("[]")
        host = f"[{IPv6Address(bare)}]" if bare != found[1] else parse_domain(bare)
    except ValueError:
        raise ValueError(_no_address(text)) from None
    return f"{host}:{found[2] or 80}"


def _no_address(text: str) -> str:
    """Says too where the parts belong that a proxy_pass or a server line has around it."""
    where = ""
    if text.startswith(("http://", "https://")):
        where = "; leave out http://, and for https:// set tls = true in the upstream"
    elif " " in text.strip():
        where = '; write parameters as { address = "10.0.0.5:3000", weight = 2 }'
    return f"must be {_ADDRESS.text}, not {value_text(text)}{where}"


def _server_table(value: object) -> object:
    return {"address": value} if isinstance(value, str) else value


class Server(Table):
    """Another server, with the parameters of nginx's `server` directive."""

    address: Annotated[str, AfterValidator(parse_address), _ADDRESS] = Field(
        description='"host:port", "[::1]:port" or "unix:/path"; default port: 80.'
    )
    weight: Weight = Field(1, description="Its weight.")
    max_conns: Count = Field(0, description="Maximum number of connections; 0: no limit.")
    max_fails: Count = Field(
        1, description="Failures within fail_timeout after which it is skipped; 0: never."
    )
    fail_timeout: Duration = Field(
        10.0, description="How long failures count and it is skipped; whole seconds."
    )
    backup: bool = Field(False, description="Gets requests only when all others are unavailable.")
    down: bool = Field(False, description="Gets no requests.")


class Upstream(Table):
    """Peers that serve the same content: other servers, or several apps."""

    servers: tuple[
        Annotated[
            Server,
            BeforeValidator(_server_table, json_schema_input_type=str | Server),
            Kind("an address or a table"),
        ],
        ...,
    ] = Field((), description='Addresses "host:port", or tables with nginx\'s server parameters.')
    apps: tuple[AppName, ...] = Field((), description="Apps whose instances are peers.")
    balance: BalanceField = Field(
        "round_robin", validate_default=True, description="The balancing method, as in nginx."
    )
    sticky: bool | Sticky = Field(
        False, description="Keep a client on one peer with a cookie; true, or a table."
    )
    keepalive: Annotated[int, Field(ge=0, le=65535)] = Field(
        64, description="Idle connections nginx keeps open to the peers, per worker."
    )
    health: CheckPath | ServerCheck | None = Field(
        None,
        description="Health check of the servers: a path, or a table. A server that fails it gets "
        "no requests until it passes; host names are resolved every 10 seconds, and each address "
        "is checked.",
    )
    tls: bool = Field(False, description="Use HTTPS to the servers.")
    tls_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9.*-]+$"), Kind("a domain name")] | None = (
        Field(
            None, description="The name to send as SNI and to verify; default: the server's host."
        )
    )
    tls_verify: bool = Field(True, description="Reject a server whose certificate is not trusted.")
    tls_ca: NginxPath | None = Field(
        None, description="PEM file of the authorities to trust; default: the system's."
    )

    @property
    def check(self) -> ServerCheck | None:
        return ServerCheck(path=self.health) if isinstance(self.health, str) else self.health

    @property
    def is_discovered(self) -> bool:
        """Whether its peers come and go, by the answers of discovery."""
        return bool(self.apps) or self.health is not None

    @property
    def sticky_cookie(self) -> Sticky | None:
        return Sticky() if self.sticky is True else self.sticky or None

    @property
    def is_placed_by_key(self) -> bool:
        """Whether a key chooses the machine, where requests cross: a cookie comes before it."""
        return self.balance.is_keyed and not self.sticky
