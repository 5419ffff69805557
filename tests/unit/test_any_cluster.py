"""What holds on three machines with a store, whatever happens to them, to the store and between
them, and whatever one of them writes of the others.

* No two machines have the turn at a time, and none replaces instances without it; nor do two
  obtain certificates.
* No machine takes an instance from its nginx that answers, because of what another one or the
  store says.
* A store that was wiped, or is an older one, is no order.
* Of two operators at once one is refused.
* When nothing goes wrong any more, all machines have the file in force, with as many instances as
  it says, and the next change is made on all of them.

`--hypothesis-profile=explore` looks for new examples.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from portico.core.model.neighbour import NearList
from portico.core.model.shared import (
    CHANGE_KEY,
    CLUSTER_KEY,
    ENDPOINTS_KEY,
    ISSUER_CLAIM_KEY,
    ISSUER_KEY,
    RESTORE_KEY,
    RESTORED_KEY,
    SWITCHES_KEY,
    TURN_KEY,
    Head,
    Holder,
    SharedMachine,
    encode,
    head_key,
    machine_key,
    present_key,
    progress_key,
    revision_key,
    run_key,
    running_key,
    token_key,
)
from portico.core.model.shared_change import Progress, SharedChange
from tests.examples import examples
from tests.unit.any_cluster import AnyCluster, names
from tests.unit.cluster_simulation import NAMES

pytestmark = pytest.mark.slow

STEPS = 20
garbage = st.sampled_from([b"", b"{}", b"\xff", b'{"v": 2}'])
states = st.sampled_from(["ready", "refused", "changing", "done", "failed", "back"])
holders = st.sampled_from([encode(Holder(machine=each)) for each in (*NAMES, "m9")])
shared_keys = st.sampled_from(
    [
        *(
            CLUSTER_KEY,
            ENDPOINTS_KEY,
            ISSUER_KEY,
            ISSUER_CLAIM_KEY,
            RESTORE_KEY,
            RESTORED_KEY,
            SWITCHES_KEY,
        ),
        *(head_key("shop"), run_key("web", 17), running_key("web"), token_key("1")),
    ]
)
orders = st.sampled_from([(), ("m9",), ("m2", "m9"), NAMES])


TestAnyCluster = AnyCluster.TestCase
TestAnyCluster.settings = settings(examples(10), stateful_step_count=STEPS)


class LyingMachines(AnyCluster):
    """One of them writes what belongs to another one."""

    @rule(name=names, value=st.one_of(st.none(), garbage))
    def lie_who_is_there(self, name: str, value: bytes | None) -> None:
        self.cluster.lie(present_key(name), value)
        self.cluster.run(2.0)

    @rule(name=names, state=states, value=st.one_of(st.none(), garbage), is_read=st.booleans())
    def lie_how_far_it_is(
        self, name: str, state: str, value: bytes | None, *, is_read: bool
    ) -> None:
        change = self.cluster.change
        if change and is_read:
            value = encode(Progress(change=change.id, state=state, why="it is said"))
        self.cluster.lie(progress_key(name), value)
        self.cluster.run(2.0)

    @rule(
        name=names,
        value=st.one_of(st.none(), garbage, st.just(encode(SharedMachine(address="10.9.9.9")))),
    )
    def lie_which_machines_there_are(self, name: str, value: bytes | None) -> None:
        self.cluster.lie(machine_key(name), value)
        self.cluster.run(2.0)

    @rule(value=st.one_of(st.none(), garbage, holders))
    def lie_whose_turn_it_is(self, value: bytes | None) -> None:
        self.cluster.lie(TURN_KEY, value)
        self.cluster.run(2.0)

    @rule(value=st.one_of(st.none(), garbage), order=orders, is_read=st.booleans())
    def lie_what_is_under_way(
        self, value: bytes | None, order: tuple[str, ...], *, is_read: bool
    ) -> None:
        if is_read:
            change = SharedChange(
                id="7", verb="up", subject="x", who="m3", by="m9", began=0.0, order=order
            )
            value = encode(change)
        self.cluster.lie(CHANGE_KEY, value)
        self.cluster.run(2.0)

    @rule(number=st.sampled_from(["1", "2", "9", "²", "9" * 30, "x"]), value=garbage)
    def lie_what_files_there_are(self, number: str, value: bytes) -> None:
        self.cluster.lie(revision_key("shop", 0)[:-1] + number, value)
        self.cluster.run(2.0)

    @rule(key=shared_keys, value=st.one_of(st.none(), garbage, holders))
    def lie_about_what_all_share(self, key: str, value: bytes | None) -> None:
        self.cluster.lie(key, value)
        self.cluster.run(2.0)

    @rule(number=st.sampled_from([0, 1, 2, 9]))
    def lie_which_file_is_in_force(self, number: int) -> None:
        self.cluster.lie(head_key("shop"), encode(Head(number=number)))
        self.cluster.run(2.0)

    @rule(name=names, count=st.sampled_from([0, 1, 1000]), leaves=st.booleans())
    def lie_what_is_ready(self, name: str, count: int, *, leaves: bool) -> None:
        apps = {"web": count} if count else {}
        if member := self.cluster.members.get(name):
            member.lists.lie = NearList(name, apps, leaves)
        self.cluster.run(2.0)


TestLyingMachines = LyingMachines.TestCase
TestLyingMachines.settings = settings(examples(5), stateful_step_count=STEPS)
