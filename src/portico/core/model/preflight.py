"""What was seen before an order is sent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caa:
    flags: int
    tag: str
    value: str


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a name, asked for our own answer on port 80."""

    address: str
    wrong: str = ""
    """What was found instead; empty if it was our answer."""
    unasked: bool = False
    """This machine has no way to such addresses at all, so nothing is known of it."""


@dataclass(frozen=True, slots=True)
class Name:
    name: str
    by_address: bool = False
    """The authority will come to its addresses."""
    addresses: tuple[Address, ...] = ()
    caa: tuple[Caa, ...] = ()
    """Of the name, or of the nearest one above it that has any (RFC 8659 3)."""
    caa_of: str = ""
    trouble: str = ""
    """Why DNS could not be asked."""


@dataclass(frozen=True, slots=True)
class PreflightFacts:
    """What was seen, by a child that may ask the network."""

    names: tuple[Name, ...] = ()
    identities: tuple[str, ...] = ()
    """What a CAA record has to name for this authority; empty if it does not say."""
    account: str = ""
    """URL of our account there; empty if there is none yet."""
    clock_ahead: float | None = None
    """Seconds by which this machine's clock is ahead of the authority's."""
    unwritable: tuple[str, ...] = ()
    """`/srv/certificates: Read-only file system`, for each folder that has to be written to."""
    room: int | None = None
    """Bytes left on the disk of the certificates; None if it does not say."""
    files: int | None = None
    """Files that can still be made there."""
    unprovable: str = ""
    """Why the names could not be proven: a provider that is not known, a missing credential."""
