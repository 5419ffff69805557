"""What every way to publish a TXT record has to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from portico.adapters.acme.child.context import RunContext


@dataclass(frozen=True, slots=True)
class Entry:
    """One TXT record to be."""

    domain: str
    """The domain that it proves, without `*.`."""
    name: str
    """The record's own name, where CNAMEs have led."""
    zone: str
    value: str
    all_domains: tuple[str, ...] = ()
    """Of the whole order."""
    remaining: int = 0
    """How many records are still to follow."""


class PublishesTxt(Protocol):
    """Raises AcmeFailure. Other values of the same name stay as they are."""

    @property
    def publisher_name(self) -> str:
        """Who this is, for the record on disk; without secrets."""

    def check(self, entry: Entry, context: RunContext) -> None:
        """Look whether it could be published, as far as that can be seen without doing it."""

    def put(self, entry: Entry, context: RunContext) -> str:
        """Returns what has to be given to `remove`. Doing it twice is as good as once."""

    def remove(self, entry: Entry, output: str, context: RunContext) -> None: ...
