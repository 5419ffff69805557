"""What a machine does next about a change that goes over all machines of its cluster.

Each machine decides by itself, by what all share and by what it knows of itself; none leads. A
change is checked by every machine before the first one makes it. Then they make it in its order,
each while it has the turn, which no two have at once. Its end is written once, and says which file
is in force: the new one where all have it, else the one before. A machine that has another file
than the one in force takes that one, with a turn of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from portico.core.model.shared_change import (
    NO_SWITCHES,
    TOUCHED_STATES,
    Progress,
    SharedChange,
    Switches,
)


@dataclass(frozen=True, slots=True)
class TurnState:
    """What all machines share of it, as far as one of them knows it."""

    change: SharedChange | None = None
    progress: Mapping[str, Progress] = field(default_factory=dict)
    """By machine."""
    holder: str = ""
    """The machine that has the turn."""
    heads: Mapping[str, int] = field(default_factory=dict)
    """By name of a project, its revision in force; 0 for one that was ended."""
    lost: frozenset[str] = frozenset()
    """The machines that have been absent for a while."""
    switches: Switches = NO_SWITCHES
    switches_revision: int = 0
    """Of the store, at which they were changed last."""

    @property
    def is_at_rest(self) -> bool:
        """Whether no change is under way."""
        return self.change is None or bool(self.change.end)

    def state_of(self, machine: str) -> str:
        """With the change; empty for one that has not checked it yet."""
        known = self.progress.get(machine)
        return known.state if known and self.change and known.change == self.change.id else ""


@dataclass(frozen=True, slots=True)
class AppliedRevision:
    """The revision of a project that a machine has."""

    number: int
    is_whole: bool
    """False from before the first step towards it until all of it is served."""


@dataclass(frozen=True, slots=True)
class TakeFile:
    """Put in force here what is in force in the cluster; with number 0 end the project."""

    project: str
    number: int


@dataclass(frozen=True, slots=True)
class TakeSwitches:
    """Stop, start, reload, pause and resume what was switched while this machine was absent."""

    revision: int


@dataclass(frozen=True, slots=True)
class OwnState:
    """What a machine knows of itself."""

    machine: str
    has_turn: bool = False
    follows: bool = False
    """It has taken part in a change, or taken what was in force, and keeps to what is in force."""
    applied: Mapping[str, AppliedRevision] = field(default_factory=dict)
    unusable: frozenset[TakeFile | TakeSwitches] = frozenset()
    """What failed here: it waits for another revision, or for an operator."""
    switches: Switches = NO_SWITCHES
    """Those that it has done."""
    made: SharedChange | None = None
    """The last change that was made here, until its switches are counted."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Check whether the change could be made here, and write the result."""

    change: SharedChange


@dataclass(frozen=True, slots=True)
class TakeTurn:
    """Nobody has it."""


@dataclass(frozen=True, slots=True)
class DropTurn:
    """It is of no use to this machine, or was taken by an earlier daemon of it."""


@dataclass(frozen=True, slots=True)
class MakeChange:
    """And write the result."""

    change: SharedChange


@dataclass(frozen=True, slots=True)
class WriteBack:
    """Write that the file before a change that failed is in force here again."""

    change: SharedChange


@dataclass(frozen=True, slots=True)
class EndChange:
    change: SharedChange
    how: Literal["done", "refused", "failed"]
    why: str = ""


@dataclass(frozen=True, slots=True)
class CountSwitches:
    """Note that what the change has switched is done here."""

    change: SharedChange


Act = (
    Prepare
    | TakeTurn
    | DropTurn
    | MakeChange
    | TakeFile
    | TakeSwitches
    | CountSwitches
    | WriteBack
    | EndChange
)


def next_act(state: TurnState, own: OwnState) -> Act | None:
    """None: nothing, until something changes."""
    if uncounted := _uncounted_change(state, own):  # also while the next change is under way
        return CountSwitches(uncounted)
    change = state.change
    if change is None or change.end:
        return _outside_a_change(state, own)
    if own.machine in change.order and not state.state_of(own.machine):
        return Prepare(change)
    if end := _end(state, change):
        return end if not state.holder or own.has_turn else _without_turn(state, own)
    left = machines_left(state, change)
    if own.machine != left[0] or not all(map(state.state_of, left)):
        return _without_turn(state, own)
    return MakeChange(change) if own.has_turn else _take_turn(state, own)


def machines_left(state: TurnState, change: SharedChange) -> list[str]:
    """The machines that have not made it yet, in its order."""
    left_out = state.lost if change.without_absent else frozenset()
    return [m for m in change.order if state.state_of(m) != "done" and m not in left_out]


def _end(state: TurnState, change: SharedChange) -> EndChange | None:
    """How the change ends, once that is decided."""
    if why := next(_failures(state, change), ""):
        is_touched = any(state.state_of(name) in TOUCHED_STATES for name in change.order)
        return EndChange(change, "failed" if is_touched else "refused", why)
    return None if machines_left(state, change) else EndChange(change, "done")


def _failures(state: TurnState, change: SharedChange) -> Iterator[str]:
    for name in change.order:
        its = state.state_of(name)
        if its in {"refused", "failed"}:
            yield f"{name}: {state.progress[name].why}"
        elif its != "done" and name in state.lost and not change.without_absent:
            yield f"{name} is absent"
    if state.lost.issuperset(change.order):
        yield "all its machines are absent"


def _without_turn(state: TurnState, own: OwnState) -> Act | None:
    return DropTurn() if state.holder == own.machine else None


def _take_turn(state: TurnState, own: OwnState) -> Act | None:
    return (
        None if state.holder not in {"", own.machine} else _without_turn(state, own) or TakeTurn()
    )


def _outside_a_change(state: TurnState, own: OwnState) -> Act | None:
    usable = (each for each in to_take(state, own) if each not in own.unusable)
    if own.follows and (act := next(usable, None)):
        return act if own.has_turn else _take_turn(state, own)
    return _without_turn(state, own) or _written_back(state, own)


def _uncounted_change(state: TurnState, own: OwnState) -> SharedChange | None:
    """The last change that was made here, if it was made on all machines: the last one of all, or
    one whose end this machine has not seen.
    """
    shared, change = state.switches, state.change
    if own.made and own.made.id in {shared.last, *shared.renewed.values()}:
        return own.made
    if change is None or own.switches.last == change.id or shared.last != change.id:
        return None
    return change if state.state_of(own.machine) == "done" else None


def to_take(state: TurnState, own: OwnState) -> list[TakeFile | TakeSwitches]:
    """What is in force in the cluster and not on this machine. Switches are of what files name."""
    is_behind = replace(own.switches, last=state.switches.last) != state.switches
    return [*files_to_take(state, own), *[TakeSwitches(state.switches_revision)] * is_behind]


def files_to_take(state: TurnState, own: OwnState) -> list[TakeFile]:
    """What is in force in the cluster and not on this machine."""
    heads = state.heads.items()
    return [TakeFile(name, number) for name, number in heads if not _has(own, name, number)]


def participants(
    own: str, states: Mapping[str, str], present: Collection[str], took_part: Collection[str]
) -> tuple[list[str], list[str]]:
    """Of the machines, by name with their states, those that make a change, this one first, and
    those that are missed.

    One that leaves takes no part. One that has joined and never took part is not missed.
    """
    known = {name for name, state in states.items() if state == "in"} - {own}
    there = known & {*present}
    return [own, *sorted(there)], sorted((known & {*took_part}) - there)


def _has(own: OwnState, project: str, number: int) -> bool:
    wanted = AppliedRevision(number, is_whole=True) if number else None
    return own.applied.get(project) == wanted


def _written_back(state: TurnState, own: OwnState) -> WriteBack | None:
    """If the machine was touched by a change that failed, and has the file in force again."""
    change = state.change
    if change is None or change.end != "failed" or change.project not in state.heads:
        return None
    is_touched = state.state_of(own.machine) in TOUCHED_STATES
    is_back = _has(own, change.project, state.heads[change.project])
    return WriteBack(change) if is_touched and is_back else None
