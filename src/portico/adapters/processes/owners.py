"""Who takes the connections to instances' ports: the instances themselves, or somebody else.

What a family holds is read only when something else listens than at the last look; otherwise a
look is one list of the sockets that listen, however many processes and connections there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from portico.adapters.processes.batch import Batch
from portico.adapters.processes.finding import Mark, families
from portico.adapters.processes.listening import listeners
from portico.adapters.processes.proc import (
    Stat,
    Table,
    may_read_sockets,
    sockets,
    user_of,
)
from portico.adapters.processes.sockets import holders
from portico.core.model.instance import Process
from portico.core.planning.ownership import (
    Answering,
    Family,
    Owner,
    Socket,
    answering,
)

_REACHED: Final = frozenset({"*", "127.0.0.1"})
"""Addresses whose listeners take connections to 127.0.0.1. One of IPv6 that takes no IPv4 looks
the same here; as only one of several, it has to be the instance's all the same."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where an instance should answer."""

    process: Process
    mark: Mark
    port: int


Answers = Batch[Sequence[Seat], list[Answering]]


class Owners:
    def __init__(self) -> None:
        self._known: dict[Seat, tuple[frozenset[Socket], Answering]] = {}
        """What was found last; a stranger is looked at every time."""

    def look(self, asked: Sequence[Sequence[Seat]]) -> list[list[Answering]]:
        """Blocks; one look at a time."""
        found = self._found({seat for seats in asked for seat in seats})
        return [[found[seat] for seat in seats] for seats in asked]

    def _found(self, seats: Collection[Seat]) -> dict[Seat, Answering]:
        here: defaultdict[int, set[Socket]] = defaultdict(set)
        for each in listeners():
            if each.at.address in _REACHED:
                here[each.at.port].add(Socket(each.inode, each.uid))
        now = {seat: frozenset(here[seat.port]) for seat in seats}
        changed = {
            seat: found
            for seat, found in now.items()
            if found and self._known.get(seat, (None,))[0] != found
        }
        found = self._find_out(changed) if changed else {}
        for seat, answer in found.items():
            if answer.owner is not Owner.STRANGER:
                self._known[seat] = now[seat], answer
        nobody = Answering(Owner.NOBODY)
        return {
            seat: found.get(seat) or (self._known[seat][1] if now[seat] else nobody)
            for seat in seats
        }

    def forget(self, process: Process) -> None:
        for seat in [seat for seat in list(self._known) if seat.process == process]:
            self._known.pop(seat, None)

    @staticmethod
    def _find_out(changed: Mapping[Seat, frozenset[Socket]]) -> dict[Seat, Answering]:
        every = families(Table(), {seat.process: seat.mark for seat in changed})
        found = {seat: _held(every[seat.process]) for seat in changed}
        foreign = {
            each.inode: each.uid
            for seat, seen in changed.items()
            for each in seen
            if each.inode not in found[seat].inodes
        }
        named = holders(foreign)
        return {seat: answering(seen, found[seat], named) for seat, seen in changed.items()}


def _held(family: Iterable[Stat]) -> Family:
    inodes, uids, hidden = set[int](), set[int](), set[int]()
    for each in family:
        if (uid := user_of(each.pid)) is None:
            continue
        uids.add(uid)
        if may_read_sockets(each.pid):
            inodes |= set(sockets(each.pid))
        else:
            hidden.add(uid)
    return Family(frozenset(inodes), frozenset(uids), frozenset(hidden))
