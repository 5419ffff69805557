"""What an order for a certificate gives, and whose accounts it was sent from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
