"""How a program of a folder is started, as one look at the folder finds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Start:
    """An app, or a folder of static files."""

    source: str
    """What says so: `scripts.start of package.json`."""
    table: Mapping[str, object] | None = None
    """As in `[apps.NAME]`."""
    folder: str = ""
    """Static files, from the folder that was looked at."""
    spa: bool = False
    name: str = "web"
    first: tuple[str, ...] = ()
    """Commands that have to be run before it."""
    notes: tuple[str, ...] = ()

    @property
    def listens(self) -> bool:
        return self.table is not None and self.table.get("port") is not False
