"""What a run has measured, and its form as a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bench.compare.arithmetic import Range, paired_ratio, range_of

T = TypeVar("T")
MAX_SAMPLES = 5000


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of one peer in one round."""

    row: str
    case: str
    peer: str
    round: int
    values: Mapping[str, float]


@dataclass
class Results:
    date: str = ""
    machine: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    rounds: int = 0
    seconds: float = 0.0
    busy: float = 0.0
    """Share of all cores that other work used before the run or after it."""
    steal: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What could not be measured, and why."""
    file: str = field(default="", compare=False)
    """The name of the file that it was read from."""
    runs: Mapping[str, Results] = field(default_factory=dict, compare=False)
    """By row, the run that measured it, where that was another one."""

    def add(self, sample: Sample) -> None:
        if len(self.samples) < MAX_SAMPLES:
            self.samples.append(sample)

    def cases(self, row: str) -> list[str]:
        return list(dict.fromkeys(each.case for each in self.samples if each.row == row))

    def peers(self, row: str) -> list[str]:
        return list(dict.fromkeys(each.peer for each in self.samples if each.row == row))

    def by_round(self, row: str, case: str, peer: str, key: str) -> dict[int, float]:
        return {
            each.round: each.values[key]
            for each in self.samples
            if (each.row, each.case, each.peer) == (row, case, peer) and key in each.values
        }

    def range(self, row: str, case: str, peer: str, key: str) -> Range | None:
        values = list(self.by_round(row, case, peer, key).values())
        return range_of(values) if values else None

    def ratio(self, row: str, case: str, peers: tuple[str, str], key: str) -> Range | None:
        """The first peer's by the second's, each round with itself."""
        ours, theirs = (self.by_round(row, case, peer, key) for peer in peers)
        return paired_ratio(ours, theirs)

    def spreads(self, row: str, key: str) -> list[float]:
        """Of every measurement that was repeated."""
        found = (
            self.range(row, case, peer, key)
            for case in self.cases(row)
            for peer in self.peers(row)
        )
        return [each.spread for each in found if each and each.count > 1]

    def write(self, file: Path) -> None:
        table = asdict(self)
        samples, _, _ = (table.pop(name) for name in ("samples", "file", "runs"))
        head = json.dumps(table, indent=1)[:-2]
        lines = ",\n  ".join(json.dumps(_rounded(each)) for each in samples)
        file.write_text(f'{head},\n "samples": [\n  {lines}\n ]\n}}\n', encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Results:
        table = json.loads(file.read_text(encoding="utf-8"))
        samples = [Sample(**each) for each in table["samples"]]
        return cls(**table | {"samples": samples, "file": file.name})


def joined(
    first: Results,
    others: Sequence[Results],
    titles: Mapping[str, str],
    untimed: Container[str] = (),
) -> Results:
    """The first run, with the rows that it lacks from the first of the others that has them. It
    is as busy as the busiest of them. `titles` are those of all rows, by name; `untimed` are those
    for which it does not matter that a machine was busy.
    """
    found = first
    for other in others:
        more = {name: other for name in titles if other.cases(name) and not found.cases(name)}
        solved = tuple(f"{titles[name]}: " for name in more)
        judged = [found, *(other for name in more if name not in untimed)]
        found = replace(
            found,
            busy=max(each.busy for each in judged),
            steal=max(each.steal for each in judged),
            samples=[*found.samples, *(each for each in other.samples if each.row in more)],
            problems=[each for each in found.problems if not each.startswith(solved)],
            runs={**found.runs, **more},
        )
    return found


def _rounded(sample: dict[str, Any]) -> dict[str, Any]:
    values = {key: float(f"{value:.5g}") for key, value in sample["values"].items()}
    return sample | {"values": values}


class Measured(Protocol):
    """What a row calls for each measurement."""

    def __call__(self, case: str, peer: str, number: int, /, **values: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Column:
    """One value of the samples as tables show it."""

    key: str
    head: str
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """Work that is done on all peers, and how the page shows it."""

    name: str
    title: str
    about: str
    """What is done, what is compared, and what is not comparable."""
    measure: Callable[..., None]
    columns: tuple[Column, ...]
    """The first one is what the spread of a run is judged by."""
    full: tuple[str, ...] = ()
    """Cases with a table of all columns; of the others only the columns in `matrices`."""
    matrices: tuple[str, ...] = ()
    """Keys of columns that have a table with a column for each case."""
    needs_quiet: bool = True
    """Whether other work on the machine changes its figures."""


def rotated(items: Iterable[T], by: int) -> list[T]:
    """Each round begins with another peer, so that none is always first."""
    kept = list(items)
    by %= max(1, len(kept))
    return kept[by:] + kept[:by]
