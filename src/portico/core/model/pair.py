"""Certificates and keys in files, and what a look at them shows."""

from __future__ import annotations

from dataclasses import dataclass

from portico.core.model.certificate import (
    KeyType,
)
from portico.core.model.place import CertificateFiles


@dataclass(frozen=True, slots=True)
class OwnPair:
    """An operator's own certificate and key, two PEM files, and the names they must cover."""

    certificate: str
    key: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a look at an operator's pair has shown."""

    problems: tuple[str, ...] = ()
    """Why it cannot be used: no match, names not covered, expired, …"""
    notes: tuple[str, ...] = ()
    """What works and is worth knowing: expires soon, a key that everybody may read."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a certificate says of itself; moments are seconds since 1970."""

    problems: tuple[str, ...]
    """Why it cannot be used with its key; then the rest may be empty."""
    names: tuple[str, ...] = ()
    serial: str = ""
    not_before: float = 0.0
    not_after: float = 0.0
    issuer: str = ""
    """Common name of who signed it."""
    ari_id: str = ""
    key_type: KeyType | None = None


@dataclass(frozen=True, slots=True)
class OwnCopy:
    """What nginx is given of an operator's own pair: a copy of what its files held when they were
    last complete and could be used.
    """

    files: CertificateFiles | None = None
    """None while there was never anything that could be used."""
    facts: Facts = Facts(())
    """Of the copy."""
    problem: str = ""
    """Why it is not what the operator's files hold now; empty if it is."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Where the root of the local authority was installed, or taken away."""

    root: str
    """Its PEM file."""
    done: tuple[str, ...]
    skipped: tuple[str, ...]
    """Places that were left as they are, each with why and what to type instead."""
