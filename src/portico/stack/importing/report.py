"""What became of every line that was read."""

from __future__ import annotations

from dataclasses import dataclass, field

from portico.core.model.nginx_lines import Line, walk
from portico.stack.importing.part import Outcome, OutcomeKind, place_of
from portico.stack.model import Gap

_MAX_SHOWN_LENGTH = 60


@dataclass
class Report:
    gaps: list[Gap] = field(default_factory=list)
    outcome_kinds: dict[int, OutcomeKind] = field(default_factory=dict)
    """By the identity of a line; those of all other lines follow from the one around them."""

    def settle(self, line: Line, outcome: Outcome, more: str = "") -> None:
        """`more` says where it is kept."""
        kind = OutcomeKind.KEPT if more and outcome.kind is OutcomeKind.LISTED else outcome.kind
        self._mark(line, kind)
        if why := "; ".join(filter(None, (outcome.why, more if kind is OutcomeKind.KEPT else ""))):
            self.gap(line, why)

    def all_of(self, line: Line, kind: OutcomeKind) -> None:
        """Of a block with all that is in it, whatever was said of a line before."""
        for each in walk(line):
            self.outcome_kinds[id(each)] = kind

    def gap(self, line: Line, why: str) -> None:
        self.gaps.append(Gap(place_of(line), line_text(line), why))

    def _mark(self, line: Line, kind: OutcomeKind) -> None:
        """A line of the http block holds in several servers: what is worst counts."""
        for each in walk(line):
            known = self.outcome_kinds.get(id(each))
            if known is None or _ORDER.index(kind) > _ORDER.index(known):
                self.outcome_kinds[id(each)] = kind


_ORDER = (OutcomeKind.DONE, OutcomeKind.CARRIED, OutcomeKind.KEPT, OutcomeKind.LISTED)


def line_text(line: Line) -> str:
    text = " ".join((line.name, *line.args))
    return text if len(text) <= _MAX_SHOWN_LENGTH else f"{text[:_MAX_SHOWN_LENGTH]}..."
