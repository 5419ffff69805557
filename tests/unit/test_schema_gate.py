"""When all machines may use a newer schema of the store, and what a machine does that is older."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from portico.core.model.event import Requester
from portico.core.model.shared import (
    CLUSTER_KEY,
    SCHEMA,
    ClusterRecord,
    Presence,
    SharedMachine,
    decode,
    encode,
    machine_key,
    present_key,
)
from portico.core.model.snapshot import Put
from portico.core.planning.mirroring import prefix_of
from portico.core.planning.schema_gate import next_schema
from portico.engine.cluster.cluster_store import ClusterStore
from portico.engine.cluster.schema_upgrade import SchemaUpgrade
from portico.engine.troubles import Troubles
from portico.errors import Refused
from portico.ports.store import StoreUnavailable
from tests.fakes.clock import FakeClock, settle
from tests.fakes.state import MemoryState, events_of
from tests.fakes.store import FakeStore

CLUSTER = "6a1c"
ROOT = prefix_of(CLUSTER)
NEWER = SCHEMA + 1
WHO = Requester("test")


@pytest.mark.parametrize(
    ("least", "known", "schema", "why"),
    [
        (1, {}, 1, ""),
        (1, {"m1": 1, "m2": 1}, 1, ""),
        (1, {"m1": 1, "m2": None}, 1, ""),  # there is nothing to raise
        (1, {"m1": 2, "m2": 2}, 2, ""),
        (1, {"m1": 2, "m2": None}, 1, "not connected to the store: m2"),
        (1, {"m1": 2, "m2": 1}, 1, "Portico on m2 is older"),
        (1, {"m1": 3, "m2": 2, "m3": 3}, 2, "Portico on m2 is older"),
        (2, {"m1": 2, "m2": 2}, 2, ""),
        (2, {"m1": 3, "m2": 1}, 2, "Portico on m2 is older"),  # it never falls
    ],
)
def test_the_schema_is_the_newest_that_all_machines_know(least, known, schema, why):
    found, problem = next_schema(least, known)
    assert found == schema
    assert why in problem
    assert bool(problem) == bool(why)


class Cluster:
    """A machine of this version, and what others say in the store."""

    def __init__(self, clock: FakeClock) -> None:
        self.store, self.troubles, state = FakeStore(clock), Troubles(), MemoryState()
        events = events_of(state, clock)
        engine = SimpleNamespace(
            events=events, intent=None, troubles=self.troubles, state=state, clock=clock
        )
        self.shared = ClusterStore(engine, None, CLUSTER, "m1", self.store)
        self.gate = SchemaUpgrade(self.shared, events)

    async def say(self, machine: str, schema: int) -> None:
        presence = Presence(version="9.9", schema=schema)
        await self.store.transaction([], [Put(ROOT + present_key(machine), encode(presence))])
        await settle()

    @property
    def schema(self) -> int:
        return decode(ClusterRecord, self.store.peek(ROOT + CLUSTER_KEY).value).least


def test_a_machine_that_does_not_know_the_schema_serves_by_its_copy_and_refuses_changes():
    async def work() -> None:
        one = Cluster(FakeClock())
        record = Put(ROOT + CLUSTER_KEY, encode(ClusterRecord(least=SCHEMA)))
        address = encode(SharedMachine(address="10.0.0.1"))
        machines = [Put(ROOT + machine_key(name), address) for name in ("m1", "m2")]
        await one.store.transaction([], [record, *machines])
        task = asyncio.create_task(one.shared.follower.look())
        await settle()
        await one.say("m2", NEWER)
        view = await one.gate.upgrade(WHO)
        assert (view.store_schema, view.problem) == (SCHEMA, "not connected to the store: m1")
        assert [each.knows for each in view.machines] == [None, NEWER]
        await one.say("m1", SCHEMA)
        assert "Portico on m1 is older" in (await one.gate.upgrade(WHO)).problem
        assert one.schema == SCHEMA

        await one.say("m1", NEWER)
        present = one.shared.follower.item("present/m1")
        await one.store.transaction([], [Put(ROOT + "present/m1", present.value)])
        with pytest.raises(Refused, match="changed at the same moment; nothing was changed"):
            await one.gate.upgrade(WHO)  # it has not heard of that yet
        await settle()
        view = await one.gate.upgrade(WHO)
        assert (view.before, view.store_schema, view.problem) == (SCHEMA, NEWER, "")
        assert one.schema == NEWER
        await settle()
        [sentence] = one.troubles.sentences()
        assert f"its schema is {NEWER}, and Portico of this machine knows {SCHEMA}" in sentence
        assert sentence.endswith("uses the last known state, and refuses shared changes")
        with pytest.raises(StoreUnavailable, match="upgrade Portico here"):
            await one.shared.transaction([], [Put("a", b"")])
        assert one.shared.view().store_schema == SCHEMA
        assert one.shared.view().machines[1].name == "m2"
        await task

    asyncio.run(work())
