"""Where events are sent as they are recorded. Table `[notify.NAME]`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from portico.core.model.app import UserName
from portico.core.model.event import ALL_KINDS, KINDS
from portico.core.model.issuing import Argv
from portico.core.model.units import Duration, FilePath, Kind, Table

DEFAULT_KINDS: Final = ("failed", "exit", "revert")
FORMER_KINDS: Final = {"worn": "replace"}
"""By names that files in force may still have."""
MACHINE_KEY: Final = ""
"""In place of a project's key, for one of edge.toml: it gets the events of all projects."""

Url = Annotated[
    str,
    Field(pattern=r"^https?://[A-Za-z0-9\[][!-~]*$", max_length=2048),
    Kind("a URL that begins with https:// or http://", secret=True),
]
EventKind = Annotated[
    str,
    Field(pattern=f"^({'|'.join((*KINDS, *FORMER_KINDS, ALL_KINDS))})$"),
    Kind(f'"{ALL_KINDS}" or a kind of event as `portico events` has it, such as "exit"'),
]


class Notify(Table):
    """A webhook or a command that gets events."""

    url: Url | None = Field(None, description="Events are sent there by POST, as JSON.")
    secret_file: FilePath | None = Field(
        None, description="url: file with the secret that requests are signed with."
    )
    command: Argv = Field(
        (),
        description="Program and arguments; started for each event, which is on standard input.",
    )
    user: UserName | None = Field(
        None,
        description="command: run as this user (only where Portico is root); default: the "
        "daemon's user.",
    )
    events: tuple[EventKind, ...] = Field(
        DEFAULT_KINDS, description=f'Kinds of events, or "{ALL_KINDS}".'
    )
    timeout: Duration = Field(
        10.0, ge=1.0, le=300.0, description="How long a request or the command may take."
    )


@dataclass(frozen=True, slots=True)
class NotifyTarget:
    """One that is in force, with absolute paths."""

    name: str
    project: str
    """Key of the project whose events it gets, or OF_MACHINE."""
    table: Notify

    @property
    def is_machines(self) -> bool:
        return self.project == MACHINE_KEY

    @property
    def kinds(self) -> tuple[str, ...]:
        """Never what is recorded of notifications themselves."""
        named = tuple(FORMER_KINDS.get(each, each) for each in self.table.events)
        return KINDS if ALL_KINDS in named else named
