"""The machines of a cluster, and which of them an app runs on. Tables `[machines.NAME]`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Final

from pydantic import AfterValidator, Field, WithJsonSchema

from portico.core.model.units import Kind, Port, Table
from portico.core.model.value_text import value_text

CROSSING_PORT: Final = 8445
_ADDRESS = Kind('an IP address such as "10.0.0.1"')

MachineName = Annotated[
    str,
    Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$"),
    Kind("a name of 1 to 50 lower-case letters, digits and - with a letter or digit at both ends"),
]
"""Also a label: a DNS name is made of it (RFC 1123 2.1)."""


def parse_address(text: str) -> str:
    """An address of one machine, without brackets. One with a zone (RFC 4007 11) or that needs
    one, `fe80::3%eth0`, means nothing to another machine. Raises ValueError.
    """
    try:
        address = ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ValueError(f"must be {_ADDRESS.text}, not {value_text(text)}") from None
    is_of_link = isinstance(address, IPv6Address) and (address.is_link_local or address.scope_id)
    if address.is_unspecified or address.is_multicast or is_of_link:
        raise ValueError(f"must be {_ADDRESS.text} that other machines can reach")
    return str(address)


MachineAddress = Annotated[
    str,
    AfterValidator(parse_address),
    _ADDRESS,
    WithJsonSchema({"type": "string", "pattern": r"^([0-9.]+|\[?[0-9a-fA-F:.]+\]?)$"}),
]


class Machine(Table):
    """A machine of the cluster, by the name that its certificate has."""

    address: MachineAddress = Field(
        description="IP address at which the other machines reach its nginx."
    )
    port: Port = Field(CROSSING_PORT, description="Port of that address.")
    labels: tuple[MachineName, ...] = Field(
        (), description="Words that `on` of an app may name instead of the machine."
    )


@dataclass(frozen=True, slots=True)
class MemberList:
    """The machines of a cluster that has a store, in place of those of a file."""

    cluster: str
    """Its UUID."""
    machines: Mapping[str, Machine]
    serials: Mapping[str, str] = field(default_factory=dict)
    """By machine, that of its certificate, hexadecimal."""


@dataclass(frozen=True, slots=True)
class OwnMachine:
    """Who this machine is among those of its cluster."""

    cluster: str
    """A UUID, which all certificates have as their O."""
    name: str
    """The OU of its own."""
    certificate: str
    """Paths of PEM files, whose contents never change, as the two below."""
    key: str
    authority: str
    has_store: bool = False
    """Whether the cluster has a store: then machines join by tokens, and the certificate that
    counts is the one that the store names."""

    @property
    def host(self) -> str:
        return machine_host(self.name)

    def subject_of(self, machine: str) -> str:
        """That of the certificate of a machine, as nginx writes it (RFC 2253)."""
        return f"OU={machine},O={self.cluster}"


def machine_host(name: str) -> str:
    """The DNS name in the certificate of a machine, which nobody resolves."""
    return f"{name}.machine.portico.internal"


def shares(app: str, total: int, machines: Iterable[str]) -> Mapping[str, int]:
    """By machine, how many of the instances of an app it runs, of those that run any.

    As many on each; what is left over goes to those that come first by a hash of both names
    (rendezvous hashing), so that a machine that comes or goes moves few of them.
    """

    def place(machine: str) -> bytes:
        return hashlib.sha256(f"{app} {machine}".encode()).digest()

    ranked = sorted(machines, key=place)
    each, left = divmod(total, max(1, len(ranked)))
    found = {name: each + (rank < left) for rank, name in enumerate(ranked)}
    return {name: count for name, count in found.items() if count}


def placed_on(on: Iterable[str], machines: Mapping[str, Machine]) -> tuple[str, ...]:
    """The machines, by name, that an app with this `on` runs on: all of them if it is empty."""
    named = set(on)
    return tuple(
        name
        for name, machine in machines.items()
        if not named or name in named or not named.isdisjoint(machine.labels)
    )


@dataclass(frozen=True, slots=True)
class SignedMachine:
    certificate: str
    """PEM."""
    serial: str
    """Hexadecimal."""
