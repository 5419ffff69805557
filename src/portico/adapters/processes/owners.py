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
from portico.adapters.processes.finding import Mark, descendants, families
from portico.adapters.processes.listening import Listener, listeners
from portico.adapters.processes.sockets import holders
from portico.adapters.processes.table import Table
from portico.adapters.processes.turns import one_at_a_time
from portico.core.model.instance import Process
from portico.core.model.port_owner import Family, Owner, PortAnswer, Socket
from portico.core.planning.ownership import port_answer
from portico.system.proc import Stat, may_read_sockets, sockets, stat, user_of

_LOOPBACK_ADDRESSES: Final = frozenset({"*", "127.0.0.1"})
"""Addresses whose listeners take connections to 127.0.0.1. One of IPv6 that takes no IPv4 looks
the same here; as only one of several, it has to be the instance's all the same."""


MAX_PORTS_ONE_BY_ONE: Final = 8
"""Ports that the kernel is asked about one by one."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an instance should answer."""

    process: Process
    mark: Mark = field(compare=False)
    """That of the process: it makes no other seat, and looking it up would take longest."""
    port: int


Answers = Batch[Sequence[Target], list[PortAnswer]]


class Owners:
    def __init__(self) -> None:
        self._known: dict[Process, dict[Target, tuple[frozenset[Socket], PortAnswer]]] = {}
        """By process, what was found last; a stranger is looked at every time."""

    @one_at_a_time
    def find(self, asked: Sequence[Sequence[Target]]) -> list[list[PortAnswer]]:
        """Blocks; one look at a time."""
        found = self._find_all({target for targets in asked for target in targets})
        return [[found[target] for target in targets] for targets in asked]

    def _find_all(self, targets: Collection[Target]) -> dict[Target, PortAnswer]:
        here: defaultdict[int, set[Socket]] = defaultdict(set)
        for each in _listeners({target.port for target in targets}):
            if each.at.address in _LOOPBACK_ADDRESSES:
                here[each.at.port].add(Socket(each.inode, each.uid))
        now = {target: frozenset(here[target.port]) for target in targets}
        changed = {
            target: found
            for target, found in now.items()
            if found and self._known_of(target)[0] != found
        }
        found = self._identify(changed) if changed else {}
        for target, answer in found.items():
            if answer.owner is not Owner.STRANGER:
                self._known.setdefault(target.process, {})[target] = now[target], answer
        nobody = PortAnswer(Owner.NOBODY)
        return {
            target: found.get(target) or (self._known_of(target)[1] if now[target] else nobody)
            for target in targets
        }

    def _known_of(self, target: Target) -> tuple[frozenset[Socket] | None, PortAnswer]:
        known = self._known.get(target.process, {})
        return known.get(target, (None, PortAnswer(Owner.NOBODY)))

    def forget(self, process: Process) -> None:
        self._known.pop(process, None)

    @staticmethod
    def _identify(changed: Mapping[Target, frozenset[Socket]]) -> dict[Target, PortAnswer]:
        """Each way of looking costs more than the one before, and is for what that has left open:
        mostly the first process of an instance listens itself.
        """
        found: dict[Target, Family] = {}
        for members in (_leaders, _find_descendants, _find_by_mark):
            left = [each for each in changed if not _is_own(changed[each], found.get(each))]
            if left:
                every = members({target.process: target.mark for target in left})
                found |= {target: _sockets_of(every[target.process]) for target in left}
        foreign = {
            each.inode: each.uid
            for target, seen in changed.items()
            for each in seen
            if each.inode not in found[target].inodes
        }
        named = holders(foreign)
        return {
            target: port_answer(seen, found[target], named) for target, seen in changed.items()
        }


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


def _leaders(wanted: Mapping[Process, Mark]) -> Members:
    seen = {process: stat(process.pid) for process in wanted}
    return {p: [s] if s and s.started == p.started else [] for p, s in seen.items()}


def _find_descendants(wanted: Mapping[Process, Mark]) -> Members:
    return descendants(Table(), wanted)


def _find_by_mark(wanted: Mapping[Process, Mark]) -> Members:
    return families(Table(), wanted)


def _is_own(seen: Collection[Socket], family: Family | None) -> bool:
    """More processes of it would change nothing."""
    return family is not None and port_answer(seen, family, {}).owner is Owner.ITSELF


def _sockets_of(family: Iterable[Stat]) -> Family:
    inodes, uids, hidden = set[int](), set[int](), set[int]()
    for process in family:
        if (uid := user_of(process.pid)) is None:
            continue
        uids.add(uid)
        if may_read_sockets(process.pid):
            inodes |= set(sockets(process.pid))
        else:
            hidden.add(uid)
    return Family(frozenset(inodes), frozenset(uids), frozenset(hidden))
