"""How machines that are drained give their parts of a `total` to others, and get them back."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from hypothesis import example, given
from hypothesis import strategies as st

from portico.core.config.desired import desired_from
from portico.core.config.document import read_document
from portico.core.config.placement import desired_on, ready_parts
from portico.core.model.cluster import Machine
from portico.core.model.desired import Desired
from portico.core.model.neighbour import NearList, Neighbour
from portico.core.planning.neighbours import drained_machines, neighbours_of, with_answers
from tests.examples import examples

MACHINES = {f"m{n}": Machine(address=f"10.0.0.{n}") for n in range(1, 5)}


@cache
def running(total: int) -> Desired:
    document = read_document(
        {"apps": {"web": {"command": "x", "total": total}}}, source="portico.toml"
    )
    wanted = desired_from(document, folder="/srv", environ={}, cores=2, root=False)
    return replace(wanted, machines=MACHINES)


class Member:
    """What it has ready is at once what it runs, and its list."""

    def __init__(self, name: str, desired: Desired, drained: frozenset[str]) -> None:
        self.name, self._desired, self.drained = name, desired, drained
        self.is_drained = name in drained
        others = {n: each for n, each in MACHINES.items() if n != name}
        self.neighbours: dict[str, Neighbour] = neighbours_of(others, {})
        self.count = self.wanted()

    def wanted(self) -> int:
        if self.is_drained:
            return 0
        return self._here.apps["web"].instances

    @property
    def _here(self) -> Desired:
        return desired_on(self._desired, self.name, 2, self.drained)

    def list(self) -> NearList:
        return NearList(self.name, {"web": self.count} if self.count else {}, self.is_drained)

    def reads(self, lists: dict[str, NearList]) -> None:
        known = {n: each for n, each in self.neighbours.items() if n in lists}
        answers = {n: lists[n] for n in known}
        self.neighbours |= with_answers(known, answers) if known else {}

    def looks(self) -> None:
        own = frozenset([self.name] if self.is_drained else ())
        self.drained = own | drained_machines(
            self.drained, self.neighbours, lambda drained: ready_parts(self._here, drained | own)
        )

    def moves(self) -> None:
        """Starts an instance, or ends one."""
        wanted = self.wanted()
        self.count += (wanted > self.count) - (wanted < self.count)


names = st.sampled_from(sorted(MACHINES))
acts = st.one_of(
    st.tuples(st.just("read"), names, st.frozensets(names)),
    st.tuples(st.sampled_from(["look", "move"]), names, st.just(frozenset())),
)


@examples(40)
@given(
    st.integers(1, 7),
    st.frozensets(names, min_size=2, max_size=3),
    st.frozensets(names, min_size=1),
    st.lists(acts, max_size=40),
)
@example(6, frozenset({"m1", "m2", "m3"}), frozenset({"m1", "m2"}), [])
def test_machines_that_return_while_others_stay_drained_get_exactly_their_parts(
    total, drained, undrained, acts
):
    """Never fewer instances than the total; more only until all machines have looked."""
    members = {name: Member(name, running(total), drained) for name in MACHINES}

    def act(kind: str, name: str, others: frozenset[str]) -> None:
        member = members[name]
        match kind:
            case "read":
                member.reads({n: each.list() for n, each in members.items() if n in others})
            case "look":
                member.looks()
            case "move":
                member.moves()
        assert sum(each.count for each in members.values()) >= total

    for name in members:
        act("read", name, frozenset(MACHINES))
    for name in undrained:
        members[name].is_drained = False
    for each in acts:
        act(*each)
    for _ in range(2 * total + 4):
        for name in members:
            act("read", name, frozenset(MACHINES))
            act("look", name, frozenset())
            act("move", name, frozenset())
    assert sum(each.count for each in members.values()) == total
    assert {each.drained for each in members.values()} == {drained - undrained}
