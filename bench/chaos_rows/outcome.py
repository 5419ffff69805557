"""What a row has to show, and what it did show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.load import Loss, Report


class Skipped(Exception):
    """A row that cannot be shown on this machine; the text says why."""


class Verdict(StrEnum):
    OK = "ok"
    NOT_OK = "not ok"
    SKIPPED = "skipped"
    COMPARED = "compared"


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how often."""

    rest: float = 10.0
    """Seconds for which rest is measured; with 0 it is not, and p99 is not judged by it."""
    lead: float = 2.0
    """Seconds of load before a deploy begins."""
    seconds: float = 5.0
    """How long a row goes on that has no end of its own."""
    drain: float = 3.0
    """Seconds for which WebSockets hold up a drain."""
    kills: int = 50
    repeats: int = 5
    reloads: int = 20
    rate: int = 300
    """Requests a second."""
    answer: float = 0.02
    """Seconds that the program takes for each: with `rate`, six are always being answered."""
    late: float = 1.0
    """Seconds by which the daemon, and a look at it, may be late on a machine with other work."""


SHORT = Effort(
    rest=0,
    lead=0,
    seconds=1,
    drain=1,
    kills=3,
    repeats=1,
    reloads=2,
    rate=100,
    answer=0.06,
    late=5,
)


@dataclass
class Outcome:
    rest: Report | None = None
    """The same load just before, while nothing happened."""
    during: Report = field(default_factory=Report)
    failures: list[Loss] = field(default_factory=list)
    """Of `during`, without those that are counted apart."""
    apart: Counter[str] = field(default_factory=Counter)
    """Losses that the row allows, by what they were."""
    said: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    compared: bool = False
    """Of other software: shown beside ours, and not judged."""

    def measured(self, report: Report) -> None:
        self.during, self.failures = report, list(report.losses)

    def set_apart(self, what: str, which: Callable[[Loss], bool], most: int | None = None) -> None:
        """Count losses of this kind apart, but no more than `most` of them."""
        found = [loss for loss in self.failures if which(loss)][:most]
        self.failures = [loss for loss in self.failures if loss not in found]
        if found:
            self.apart[what] += len(found)

    def must(self, holds: object, otherwise: str) -> None:
        if not holds:
            self.wrong.append(otherwise)

    def must_lose_nothing(self) -> None:
        kinds = Counter(f"{loss['kind']} {loss['why']}" for loss in self.failures)
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        self.must(not kinds, f"lost: {told}")

    def must_stay_quick(self) -> None:
        """p99 at most twice that at rest."""
        if self.rest:
            before, now = self.rest.p99_ms, self.during.p99_ms
            self.must(now <= 2 * before, f"p99 was {now:.0f} ms, at rest {before:.0f} ms")

    @property
    def failed(self) -> int:
        return self.during.lost - self.apart.total()


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    shows: str
    """What it has to show."""
    show: Callable[[Effort, Outcome], None]


@dataclass(frozen=True, slots=True)
class Result:
    row: Row
    verdict: Verdict
    outcome: Outcome
    why: str = ""
    """Of everything that is not ok: the reason."""
    seconds: float = 0.0
