"""Who takes the connections to instances' ports: the instances themselves, or somebody else.

What a family holds is read only when something else listens than at the last look; otherwise a
look is one list of the sockets that listen, however many processes and connections there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from portico.adapters.processes.batch import Batch
from portico.adapters.processes.finding import Mark, descended, families
from portico.adapters.processes.listening import Listener, listeners
from portico.adapters.processes.sockets import holders
from portico.adapters.processes.table import Table
from portico.core.model.instance import Process
from portico.core.planning.ownership import (
    Family,
    Owner,
    PortAnswer,
    Socket,
    answering,
)
from portico.system.proc import Stat, may_read_sockets, sockets, stat, user_of

_REACHED: Final = frozenset({"*", "127.0.0.1"})
"""Addresses whose listeners take connections to 127.0.0.1. One of IPv6 that takes no IPv4 looks
the same here; as only one of several, it has to be the instance's all the same."""


MAX_PORTS_ONE_BY_ONE: Final = 8
"""Ports that the kernel is asked about one by one."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where an instance should answer."""

    process: Process
    mark: Mark = field(compare=False)
    """That of the process: it makes no other seat, and looking it up would take longest."""
    port: int


Answers = Batch[Sequence[Seat], list[PortAnswer]]


class Owners:
    def __init__(self) -> None:
        self._known: dict[Seat, tuple[frozenset[Socket], PortAnswer]] = {}
        """What was found last; a stranger is looked at every time."""

    def look(self, asked: Sequence[Sequence[Seat]]) -> list[list[PortAnswer]]:
        """Blocks; one look at a time."""
        found = self._found({seat for seats in asked for seat in seats})
        return [[found[seat] for seat in seats] for seats in asked]

    def _found(self, seats: Collection[Seat]) -> dict[Seat, PortAnswer]:
        here: defaultdict[int, set[Socket]] = defaultdict(set)
        for each in _listeners({seat.port for seat in seats}):
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
        nobody = PortAnswer(Owner.NOBODY)
        return {
            seat: found.get(seat) or (self._known[seat][1] if now[seat] else nobody)
            for seat in seats
        }

    def forget(self, process: Process) -> None:
        for seat in [seat for seat in list(self._known) if seat.process == process]:
            self._known.pop(seat, None)

    @staticmethod
    def _find_out(changed: Mapping[Seat, frozenset[Socket]]) -> dict[Seat, PortAnswer]:
        """Each way of looking costs more than the one before, and is for what that has left open:
        mostly the first process of an instance listens itself.
        """
        found: dict[Seat, Family] = {}
        for members in (_first, _descended, _marked):
            left = [seat for seat in changed if not _is_own(changed[seat], found.get(seat))]
            if left:
                every = members({seat.process: seat.mark for seat in left})
                found |= {seat: _held(every[seat.process]) for seat in left}
        foreign = {
            each.inode: each.uid
            for seat, seen in changed.items()
            for each in seen
            if each.inode not in found[seat].inodes
        }
        named = holders(foreign)
        return {seat: answering(seen, found[seat], named) for seat, seen in changed.items()}


def _listeners(ports: Collection[int]) -> Iterable[Listener]:
    """Those of these ports, and perhaps others. A start is asked about alone, while the kernel
    may know of a thousand.
    """
    return (
        chain.from_iterable(map(listeners, ports))
        if len(ports) <= MAX_PORTS_ONE_BY_ONE
        else listeners()
    )


Members = dict[Process, list[Stat]]


def _first(wanted: Mapping[Process, Mark]) -> Members:
    seen = {process: stat(process.pid) for process in wanted}
    return {p: [s] if s and s.started == p.started else [] for p, s in seen.items()}


def _descended(wanted: Mapping[Process, Mark]) -> Members:
    return descended(Table(), wanted)


def _marked(wanted: Mapping[Process, Mark]) -> Members:
    return families(Table(), wanted)


def _is_own(seen: Collection[Socket], family: Family | None) -> bool:
    """More processes of it would change nothing."""
    return family is not None and answering(seen, family, {}).owner is Owner.ITSELF


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
