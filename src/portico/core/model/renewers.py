"""What others on this machine renew, and what was taken over from certbot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ImportedLineage:
    """A lineage of certbot that is one of ours now."""

    name: str
    names: tuple[str, ...]
    issuer: str
    """Directory URL."""
    settings: Mapping[str, object]
    """As in the table `[sites."NAME".tls]`."""
    signed: Mapping[str, float]
    """Serial and moment of this certificate and of those before it: the authority counts them."""
    notes: tuple[str, ...] = ()
    """What goes another way here, and what is left to do."""


@dataclass(slots=True)
class CertbotImport:
    """What has become of each of certbot's lineages."""

    lineages: list[ImportedLineage] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """What stays with certbot, each with why."""
    notes: list[str] = field(default_factory=list)
    account: str = ""
    """URL of the account that was taken over; empty if none was."""


@dataclass(frozen=True, slots=True)
class Renewer:
    """Somebody else on this machine who renews certificates."""

    where: str
    """Its file, with a line number for a crontab."""
    what: str
    """The line, or the name of the timer."""
    remedy: str
