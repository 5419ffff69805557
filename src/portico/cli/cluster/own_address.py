"""The IP address at which the other machines of a cluster reach this one."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import ip_address

from portico.core.model.cluster import parse_address
from portico.core.model.snapshot import is_loopback
from portico.errors import Refused


def assert_own(address: str) -> None:
    """Refused where nginx of this machine cannot listen at it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        raise Refused(
            f"this machine cannot use --address {address}: {error.strerror}; nothing was changed. "
            "Use an address of this machine, as `ip address` lists them"
        ) from None


def assert_reachable(address: str, hosts: Iterable[str]) -> None:
    """Refused where it is a loopback address, and one of the hosts is none."""
    other = next((host for host in hosts if not is_loopback(host)), None)
    if other and ip_address(address).is_loopback:
        raise Refused(
            f"this machine cannot use --address {address}: {other} cannot reach a loopback "
            "address of this machine; nothing was changed. Use an address that it reaches"
        )


def address_towards(host: str, port: int) -> str:
    """By which this machine reaches it. Raises Refused where others cannot use that."""
    try:
        found = _source_address(host, port)
    except OSError as error:
        raise _not_known(f"{host} cannot be reached: {error.strerror}") from None
    try:
        address = parse_address(found)
    except ValueError:
        address = ""
    if not address or ip_address(address).is_loopback:
        raise _not_known(f"it reaches {host} by {found}")
    return address


def _not_known(why: str) -> Refused:
    return Refused(
        f"the address at which other machines reach this one is not known: {why}; nothing was "
        "changed. Set it by --address"
    )


def _source_address(host: str, port: int) -> str:
    """A connection of UDP sends nothing."""
    (family, kind, protocol, _, place), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(place)
        return str(probe.getsockname()[0])
