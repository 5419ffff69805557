"""Certificates and keys in files, and what a look at them shows."""

from __future__ import annotations

from dataclasses import dataclass

from portico.core.model.certificate import (
    KeyType,
)


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
class Trust:
    """Where the root of the local authority was installed, or taken away."""

    root: str
    """Its PEM file."""
    done: tuple[str, ...]
    skipped: tuple[str, ...]
    """Places that were left as they are, each with why and what to type instead."""
