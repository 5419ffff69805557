"""An upstream: a group of peers. Tables `[upstreams.NAME]`, and one implied by every app."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from portico.core.model.balancing import BalanceField, Sticky
from portico.core.model.names import AppName, parse_domain
from portico.core.model.units import Duration, Table

LAST_PORT = 65535


def parse_address(text: str) -> str:
    """`host:port`, `[::1]:port` or `unix:/path`, as nginx's `server` takes it."""
    if text.startswith("unix:"):
        if not re.fullmatch(r"unix:/[\w./@-]+", text):
            raise ValueError(f"{text!r} is no path of a unix socket")
        return text
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::(\d{1,5}))?", text)
    if not found or (found[2] and not 1 <= int(found[2]) <= LAST_PORT):
        raise ValueError(f"{text!r} is no address; write host:port")
    host = found[1] if found[1].startswith("[") else parse_domain(found[1])
    return f"{host}:{found[2] or 80}"


def _server_table(value: object) -> object:
    return {"address": value} if isinstance(value, str) else value


class Server(Table):
    """A peer elsewhere, with the parameters of nginx's `server` line."""

    address: Annotated[str, AfterValidator(parse_address)]
    weight: Annotated[int, Field(ge=1, le=65535)] = 1
    max_conns: Annotated[int, Field(ge=0)] = 0
    max_fails: Annotated[int, Field(ge=0)] = 1
    fail_timeout: Duration = 10.0
    backup: bool = False
    down: bool = False


class Upstream(Table):
    """Peers that serve the same thing: servers elsewhere, or several apps together."""

    servers: tuple[Annotated[Server, BeforeValidator(_server_table)], ...] = Field(
        (), description='Addresses "host:port", or tables with nginx\'s server parameters.'
    )
    apps: tuple[AppName, ...] = Field((), description="Apps whose instances are peers together.")
    balance: BalanceField = Field("round_robin", validate_default=True)
    sticky: bool | Sticky = False
    keepalive: int = Field(64, ge=0)
    tls: bool = Field(False, description="Speak HTTPS to the servers.")
    tls_name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9.*-]+$", description="The name to ask for and to verify."
    )
    tls_verify: bool = Field(True, description="Refuse a server whose certificate is not trusted.")
    tls_ca: str | None = Field(
        None, description="PEM file of the authorities to trust; the system's if unset."
    )
