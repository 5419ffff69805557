"""Names and addresses of machines, as they are written on a command line."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from portico.cli.cluster.own_address import assert_own
from portico.core.model.cluster import CROSSING_PORT, MachineName, parse_address
from portico.core.model.names import url_host
from portico.errors import Refused

MAX_PORT: Final = 65535
_UNCHANGED_CLAUSE: Final = "; nothing was changed"
_NAME: Final = TypeAdapter(MachineName)


@dataclass(frozen=True, slots=True)
class Member:
    """Where a machine of a cluster takes requests of other machines."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{url_host(self.address)}:{self.port}"


@dataclass(frozen=True, slots=True)
class SharedPlace:
    """Of this machine, as the other machines are to know it."""

    address: str
    """Empty for the one by which it reaches the machine that it joins at, or etcd."""
    port: int
    labels: tuple[str, ...]


def with_unchanged(problem: str) -> str:
    """What a daemon has answered, which may say already that nothing was changed."""
    return f"{problem.removesuffix(_UNCHANGED_CLAUSE)}{_UNCHANGED_CLAUSE}"


def parse_member(text: str) -> Member:
    """`10.0.0.1:8445`; a host name will do. Raises Refused."""
    try:
        url = urlsplit(f"//{text}")
        host, port = url.hostname, url.port
    except ValueError:
        host = port = None
    if not host or any(each in text for each in "/?#@ "):
        raise Refused(
            f"cannot use {text!r}: the address of a machine is written as 10.0.0.1:"
            f"{CROSSING_PORT}; nothing was changed"
        )
    return Member(host, port or CROSSING_PORT)


def own_name() -> str:
    """The name of this machine where the operator sets none: that of its host."""
    return socket.gethostname().partition(".")[0].lower()


def assert_name(name: str) -> None:
    try:
        _NAME.validate_python(name)
    except ValidationError:
        raise Refused(
            f"cannot name a machine {name!r}: a name has 1 to 50 lower-case letters, digits and "
            "-, with a letter or digit at both ends; nothing was changed"
        ) from None


def usable_address(text: str) -> str:
    """Raises Refused."""
    try:
        return parse_address(text)
    except ValueError as error:
        raise Refused(f"--address {error}; nothing was changed") from None


def place_of(address: str | None, port: int | None, labels: str | None) -> SharedPlace:
    """Raises Refused."""
    words = tuple(labels.split(",")) if labels else ()
    for word in words:
        assert_name(word)
    if port is not None and not 0 < port <= MAX_PORT:
        raise Refused(f"--port must be from 1 to {MAX_PORT}; nothing was changed")
    own = usable_address(address) if address else ""
    if own:
        assert_own(own)
    return SharedPlace(own, port or CROSSING_PORT, words)
