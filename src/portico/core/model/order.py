"""An order for a certificate, what it gives, and whose accounts it is sent from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from portico.core.model.certificate import Issuer, Lineage


@dataclass(frozen=True, slots=True)
class Order:
    """For one certificate (RFC 8555 7.4)."""

    lineage: Lineage
    """With the names that are ordered."""
    issuer: Issuer
    """Whom it is sent to: of a trial, with its staging directory."""
    name: str
    """By which it is continued after an interruption, here or on another machine."""
    replaces: str | None = None
    """The renewal id of the certificate that it replaces (RFC 9773 5)."""


@dataclass(frozen=True, slots=True)
class NewCertificate:
    """A new certificate, checked, and not yet put where it belongs."""

    chain: str
    """PEM, the certificate first, as the authority sent it."""
    key: str
    """PEM file of its private key; it stays until `forget`."""
    replaced: bool
    """The authority took it as a renewal that its limits do not count (RFC 9773 5)."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """Our accounts, which all have one key, as far as it is known here."""

    thumbprint: str
    """Of that key (RFC 7638)."""
    urls: Mapping[str, str] = field(default_factory=dict)
    """By directory."""
    deactivated: Mapping[str, str] = field(default_factory=dict)
    """Those that are so for ever; none is made there as long as we have this key."""
    halfway: bool = False
    """The key is being replaced, and not every authority has the new one yet."""
