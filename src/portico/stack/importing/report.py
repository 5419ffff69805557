"""What became of every line that was read."""

from __future__ import annotations

from dataclasses import dataclass, field

from portico.core.model.included import Line, walk
from portico.stack.importing.part import Fate, Outcome, place_of
from portico.stack.model import Gap

_MAX_SHOWN = 60


@dataclass
class Report:
    gaps: list[Gap] = field(default_factory=list)
    fates: dict[int, Fate] = field(default_factory=dict)
    """By the identity of a line; those of all other lines follow from the one around them."""

    def settle(self, line: Line, outcome: Outcome, more: str = "") -> None:
        """`more` says where it is kept."""
        fate = Fate.KEPT if more and outcome.fate is Fate.LISTED else outcome.fate
        self._mark(line, fate)
        if why := "; ".join(filter(None, (outcome.why, more if fate is Fate.KEPT else ""))):
            self.gap(line, why)

    def all_of(self, line: Line, fate: Fate) -> None:
        """Of a block with all that is in it, whatever was said of a line before."""
        for each in walk(line):
            self.fates[id(each)] = fate

    def gap(self, line: Line, why: str) -> None:
        self.gaps.append(Gap(place_of(line), shown(line), why))

    def _mark(self, line: Line, fate: Fate) -> None:
        """A line of the http block holds in several servers: what is worst counts."""
        for each in walk(line):
            known = self.fates.get(id(each))
            if known is None or _ORDER.index(fate) > _ORDER.index(known):
                self.fates[id(each)] = fate


_ORDER = (Fate.DONE, Fate.CARRIED, Fate.KEPT, Fate.LISTED)


def shown(line: Line) -> str:
    text = " ".join((line.name, *line.args))
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
