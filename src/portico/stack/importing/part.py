"""A level of nginx's configuration, a server or a location, on its way into a table of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from portico.core.model.nginx_lines import Line
from portico.stack.importing.definitions import Definitions
from portico.stack.model import Place


class OutcomeKind(Enum):
    """What becomes of a line."""

    CARRIED = "carried"
    """It is a key of ours."""
    DONE = "done"
    """Portico does it by itself."""
    KEPT = "kept"
    """It is in a file that nginx includes."""
    LISTED = "listed"
    """It has no equivalent, and is a gap."""


@dataclass(frozen=True, slots=True)
class Outcome:
    kind: OutcomeKind
    why: str = ""
    """For the list of gaps; empty where there is nothing to say."""
    can_be_kept: bool = False
    """Whether nginx shall go on doing it, in a file that it includes."""


CARRIED_OUTCOME: Final = Outcome(OutcomeKind.CARRIED)
DONE_OUTCOME: Final = Outcome(OutcomeKind.DONE)
NO_KEY: Final = "Portico has no key for it"
NO_VALUE: Final = "its value is not one that Portico has"


def done(why: str) -> Outcome:
    """Portico does it in another way, which the operator should know."""
    return Outcome(OutcomeKind.DONE, why)


def no_equal(why: str = NO_KEY) -> Outcome:
    """Nginx goes on doing it, where it can."""
    return Outcome(OutcomeKind.LISTED, why, can_be_kept=True)


def lost(why: str) -> Outcome:
    """Not worth that the place is left to nginx."""
    return Outcome(OutcomeKind.LISTED, why)


@dataclass
class Part:
    """What rules write into; `lines` are its own, without the blocks of locations."""

    lines: tuple[Line, ...]
    definitions: Definitions
    above: Part | None = None
    """The server of a location."""
    path: str = "/"
    """Of a location, as it is written: `~ \\.php$`; of a server `/`."""
    tls: bool = False
    """Whether its server has a port with TLS."""
    table: dict[str, object] = field(default_factory=dict)
    sources: dict[str, Place] = field(default_factory=dict)
    """Where the keys of the table come from."""
    decided: dict[str, Outcome] = field(default_factory=dict)
    """By group, for lines that only say something together."""
    locations: tuple[Line, ...] = ()
    """Of a server."""
    pages: set[str] = field(default_factory=set)
    """Of a server: paths of its error pages, which need no location here."""

    def set(self, key: str, value: object, line: Line) -> Outcome:
        self.table[key] = value
        self.sources.setdefault(key, place_of(line))
        return CARRIED_OUTCOME

    def add(self, key: str, name: str, value: object, line: Line) -> Outcome:
        """An entry of a table in the table."""
        inner = self.table.get(key)
        known = inner if isinstance(inner, dict) else {}
        return self.set(key, {**known, name: value}, line)

    def decide_group(self, group: str, decide: Callable[[], Outcome]) -> Outcome:
        """The same outcome for all lines of a group."""
        if group not in self.decided:
            self.decided[group] = decide()
        return self.decided[group]

    def own_lines(self, *names: str) -> Iterator[Line]:
        return (line for line in self.lines if line.name in names)

    def first(self, *names: str) -> Line | None:
        """The line that holds here: its own, or its server's."""
        found = next(self.own_lines(*names), None)
        return found or (self.above.first(*names) if self.above else None)

    def argument(self, name: str, default: str = "") -> str:
        line = self.first(name)
        return line.args[0] if line and line.args else default


Rule: TypeAlias = Callable[[Line, Part], Outcome]
Rules: TypeAlias = Mapping[str, Rule]


def place_of(line: Line) -> Place:
    return Place(line.file, line.number)
