"""Where the machines are with the change that goes over them, and what this one has of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from portico.core.model.moments import moment
from portico.core.model.shared import (
    CHANGE_KEY,
    HEADS,
    MACHINES,
    PRESENCES,
    PROGRESS,
    REVISIONS,
    SWITCHES_KEY,
    TURN_KEY,
    Head,
    Holder,
    SharedMachine,
    decode,
    encode,
    head_key,
    is_number,
    progress_key,
)
from portico.core.model.shared_change import NO_SWITCHES, Progress, SharedChange, Switches
from portico.core.model.snapshot import ABSENT
from portico.core.planning.switches import switches_after
from portico.core.planning.turns import (
    AppliedRevision,
    OwnState,
    TakeFile,
    TakeSwitches,
    TurnState,
    participants,
    to_take,
)
from portico.engine.cluster.cluster_store import ClusterStore
from portico.errors import Failed
from portico.ports.clock import Clock
from portico.ports.state import State

APPLIED_SETTING: Final = "shared_files"
"""Name of the setting that holds, by project, which shared revision this machine has, and whether
all of it is served; null on a machine that does not keep to what is in force.
"""
SWITCHED_SETTING: Final = "shared_switches"
"""Name of the setting that holds the Switches that are done here."""
SWITCHES_SUBJECT: Final = "stops, reloads and pauses of the cluster"
ABSENCE_TIMEOUT: Final = 20.0
"""Seconds after which a machine whose session has ended is not waited for any more."""


class ChangeState:
    def __init__(self, shared: ClusterStore, state: State, clock: Clock) -> None:
        self.shared, self._state, self._clock = shared, state, clock
        self._follower = shared.follower
        self.moved = asyncio.Event()
        """Set when anything of it has changed; each time another one."""
        self.is_changing = False
        """Whether this machine has begun what needs the turn. What is followed says it later."""
        self.unusable: dict[TakeFile | TakeSwitches, str] = {}
        """What is in force and failed here, with why."""
        self.made: SharedChange | None = None
        """As `OwnState.made`."""
        self._absent: dict[str, float] = {}
        """Since when, by the own clock, machines of the change have been absent."""
        self._history = self._follower.history
        self._follower.subscribe("changes of the cluster", lambda _: self._note_change())
        shared.revisions, shared.change_text = self._applied_numbers, self.change_text
        shared.may_replace = self.may_replace

    def state(self) -> TurnState:
        change = self.change
        return TurnState(
            change,
            self._follower.values(Progress, PROGRESS),
            self._holder(),
            {name: head.number for name, head in self._follower.values(Head, HEADS).items()},
            self._lost_machines(change),
            self.switches,
            item.revision if (item := self._follower.item(SWITCHES_KEY)) else ABSENT,
        )

    def _holder(self) -> str:
        """Of what no machine writes, a turn that ends with no session, this one: it removes it."""
        if (item := self._follower.item(TURN_KEY)) is None:
            return ""
        holder = self._follower.value(Holder, TURN_KEY)
        return holder.machine if holder and item.session else self.shared.machine

    @property
    def fence(self) -> int:
        """The revision at which the turn came to this daemon; 0 where it does not have it for
        certain.
        """
        return self.shared.session.fence(TURN_KEY)

    def may_replace(self) -> bool:
        """Whether this machine may replace one version by another: not in the middle of what
        needs the turn, where the turn has ended. Not where that cannot be read.
        """
        try:
            return bool(self.fence) or not (self.is_changing or self._is_between())
        except Failed:
            return False

    def _is_between(self) -> bool:
        """Also for a daemon that was started since, by what it knows without the store."""
        name, change = self.shared.machine, self.change
        progress = self._follower.value(Progress, progress_key(name))
        if change and not change.end and progress and progress.change == change.id:
            is_changing = progress.state == "changing"
        else:
            is_changing = False
        parts = {n for n, each in (self._applied_revisions() or {}).items() if not each.is_whole}
        if is_changing or not parts:  # asked in each round of the loop, of which most end here
            return is_changing
        return any(
            isinstance(each, TakeFile) and each.project in parts and each not in self.unusable
            for each in to_take(self.state(), self.own())
        )

    def own(self) -> OwnState:
        applied = self._applied_revisions()
        return OwnState(
            self.shared.machine,
            bool(self.fence),
            applied is not None,
            applied or {},
            frozenset(self.unusable),
            self.own_switches,
            self.made,
        )

    @property
    def trouble(self) -> str:
        """Why none of it can be changed; empty if it can."""
        return self._follower.trouble

    def is_there(self, machine: str) -> bool:
        return machine == self.shared.machine or machine in self._follower.items_of(PRESENCES)

    def to_take(self) -> list[str]:
        """What is in force and not on this machine: projects, and what was switched by hand."""
        found = to_take(self.state(), self.own())
        return [each.project if isinstance(each, TakeFile) else SWITCHES_SUBJECT for each in found]

    @property
    def switches(self) -> Switches:
        """What is switched by hand, on all machines."""
        return self._follower.value(Switches, SWITCHES_KEY) or NO_SWITCHES

    @property
    def own_switches(self) -> Switches:
        """Those that are done on this machine."""
        recorded = self._state.setting(SWITCHED_SETTING)
        return (decode(Switches, recorded.encode()) if recorded else None) or NO_SWITCHES

    @property
    def change(self) -> SharedChange | None:
        """The last one."""
        return self._follower.value(SharedChange, CHANGE_KEY)

    def change_text(self) -> str:
        change, state = self.change, self.state()
        if change is None or change.end:
            return ""
        states = (f"{name} {state.state_of(name) or 'checking'}" for name in change.order)
        return (
            f"{change.verb} of {change.subject}, started by {change.who} on {change.by} at "
            f"{moment(change.began)}: {', '.join(states)}"
        )

    def machines(self) -> tuple[list[str], list[str]]:
        """Those that take part in changes, this one first: who is there, and who is absent."""
        members = self._follower.values(SharedMachine, MACHINES)
        return participants(
            self.shared.machine,
            {name: each.state for name, each in members.items()},
            self._follower.items_of(PRESENCES).keys(),
            self._follower.items_of(PROGRESS).keys(),
        )

    def revisions(self, project: str) -> Sequence[int]:
        """The numbers of those in the store, the lowest first."""
        names = self._follower.items_of(f"{REVISIONS}{project}/")
        return sorted(int(name) for name in names if is_number(name))

    def next_revision(self, project: str) -> int:
        """The number for a file that is to come into force: Unix time, because a store that was
        restored from an older copy does not have the last ones, which machines still have.
        """
        head = self._follower.value(Head, head_key(project))
        numbers = [head.number if head else 0, *self.revisions(project)]
        return max(*numbers, int(self._clock.now())) + 1

    # What this machine has

    def begin(self, project: str, number: int) -> None:
        """From now on it may have parts of this revision. It keeps to what is in force."""
        applied = self._applied_revisions() or {}
        self._put_applied(
            applied | {project: AppliedRevision(number, is_whole=False)} if project else applied
        )

    def finish(self, project: str, number: int) -> None:
        applied = self._applied_revisions() or {}
        if number:
            applied[project] = AppliedRevision(number, is_whole=True)
        else:
            applied.pop(project, None)
        self._put_applied(applied)

    def follow(self) -> None:
        """Keep to what is in force from now on, and try again what failed."""
        self.unusable = {}
        self._put_applied(self._applied_revisions() or {})

    def withdraw(self) -> None:
        """Keep to it no more. The sites that are paused here remain so."""
        self.made = None
        self.take_switches(replace(NO_SWITCHES, paused=self.own_switches.paused))
        self._put_applied(None)

    def count_switches(self, change: SharedChange) -> None:
        """All machines, and so this one, have made the change."""
        if self.made and self.made.id == change.id:
            self.made = None  # first: a disk that is full must not keep the next change waiting
        self.take_switches(switches_after(self.own_switches, change))

    def take_switches(self, switches: Switches) -> None:
        """These are done here."""
        self._state.put_setting(SWITCHED_SETTING, encode(switches).decode())
        self._note_update()

    def note_begun(self, project: str) -> None:
        """Its instances were started just now: no earlier reload is missed."""
        own = self.own_switches
        its = {n: id_ for n, id_ in self.switches.renewed.items() if _project(n) == project}
        self.take_switches(replace(own, renewed={**own.renewed, **its}))

    def stopped_apps(self, project: str) -> frozenset[str]:
        """The apps of a project that are stopped on all machines, by their names in it."""
        names = [name for name, is_stopped in self.switches.stopped.items() if is_stopped]
        return frozenset(name.rpartition("/")[2] for name in names if _project(name) == project)

    def _applied_revisions(self) -> dict[str, AppliedRevision] | None:
        recorded = json.loads(self._state.setting(APPLIED_SETTING) or "null")
        if recorded is None:
            return None
        return {name: AppliedRevision(number, whole) for name, (number, whole) in recorded.items()}

    def _put_applied(self, applied: Mapping[str, AppliedRevision] | None) -> None:
        values = None
        if applied is not None:
            values = {name: (each.number, each.is_whole) for name, each in applied.items()}
        self._state.put_setting(APPLIED_SETTING, json.dumps(values))
        self._note_update()

    def _applied_numbers(self) -> Mapping[str, int]:
        return {name: each.number for name, each in (self._applied_revisions() or {}).items()}

    # How

    def _lost_machines(self, change: SharedChange | None) -> frozenset[str]:
        """Only what has been seen absent for as long as the store was followed."""
        if change is None or change.end or self._follower.trouble:
            self._absent = {}
            return frozenset()
        now = self._clock.monotonic()
        there = {self.shared.machine, *self._follower.items_of(PRESENCES)}
        self._absent = {m: self._absent.get(m, now) for m in change.order if m not in there}
        return frozenset(m for m, since in self._absent.items() if now - since >= ABSENCE_TIMEOUT)

    def _note_change(self) -> None:
        if self._history != self._follower.history:  # what failed is of another store
            self._history, self.unusable = self._follower.history, {}
        self._note_update()

    def _note_update(self) -> None:
        self.moved.set()
        self.moved = asyncio.Event()


def _project(app: str) -> str:
    """The name of its project."""
    return app.rpartition("/")[0]
