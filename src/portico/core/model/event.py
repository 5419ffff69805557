"""What was done and why, as `portico events` shows it, and who asked for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

KINDS: Final = (
    *("up", "down", "start", "stop", "restart", "reload", "scale", "delete", "pause", "resume"),
    *(
        "rollback",
        "upgrade",
        "inherit",
        "purge",
        "renew",
        "dry run",
        "issue",
        "revoke",
        "forget",
        "import",
    ),
    *("export", "rollover", "deactivate", "failed", "state", "exit", "check", "kill"),
    *("interrupt", "replace", "skip", "port", "ready", "revert", "nginx", "certificate"),
    *("revoked", "hook", "machine", "drain", "undrain"),
)
"""All but `notify`, which nobody is notified of."""
ALL_KINDS: Final = "all"


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks for something: a user, or a cause such as a changed file."""

    name: str
    uid: int | None = None
    """As the kernel has it of the other end of the API's socket; None if nobody asked there."""
    pid: int | None = None
    command: str = ""
    """The command line of that process, cut short: as the process itself says it."""

    def __str__(self) -> str:
        return self.name if self.pid is None else f"{self.name} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class Event:
    at: float
    """Wall time."""
    kind: str
    subject: str
    text: str
    project: str = ""
    """Name of the project; empty if it is of none."""
    uid: int | None = None
    command: str = ""
    """Those of `Requester`, where somebody asked for it."""
    number: int = 0
    """Grows with each; 0 until it is recorded."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    subject: str = ""
    """An app with its instances, or anything else that an event is of; empty for all."""
    project: str = ""
    """Events of this project too; with an empty subject these alone."""
    kinds: Collection[str] = ()
    """Empty for all."""
    since: float | None = None
    until: float | None = None
    """Wall time."""
    before: int | None = None
    """Only those of a smaller number."""
