"""The machines of the store come into force, or not, by the engine that ships."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portico.core.model.app import App
from portico.core.model.event import EventFilter
from portico.core.model.shared import SharedMachine, encode
from portico.engine.cluster.membership import RETRY_INTERVAL, SUBJECT
from tests.unit.test_safety_cluster import LinkedMachine


@pytest.fixture
def machine() -> Iterator[LinkedMachine]:
    with LinkedMachine(has_store=True) as machine:
        machine.up("web", App(command="run"), "v1")
        machine.run(5.0)
        assert names(machine) == {"m1", "m2", "m3"}
        yield machine


def names(machine: LinkedMachine) -> set[str]:
    assert machine.intent.members is not None
    return set(machine.intent.members.machines)


def trouble(machine: LinkedMachine) -> str:
    return machine.daemon.troubles.of(SUBJECT)


def test_a_machine_that_joins_or_leaves_is_in_force_at_once_and_for_the_next_daemon(machine):
    machine.store.happen({"m1", "m3"})
    machine.run(1.0)
    assert names(machine) == {*machine.intent.desired.machines} == {"m1", "m3"}
    [event] = machine.disk.events(EventFilter(kinds=("machine",), subject="m2"), 9)[-1:]
    assert event.text == "was removed from the cluster"
    machine.store.happen("away")
    machine.lose_daemon()
    machine.begin()
    machine.run(5.0)
    assert names(machine) == {*machine.intent.desired.machines} == {"m1", "m3"}


def test_a_machine_that_was_removed_keeps_the_machines_that_it_knew_and_says_so(machine):
    machine.store.happen({"m2", "m3"})
    machine.run(5.0)
    assert names(machine) == {"m1", "m2", "m3"}
    assert (
        "was removed from the list of the machines of the cluster, or replaced: others"
        in trouble(machine)
    )
    machine.store.happen({"m1", "m2"})
    machine.run(1.0)
    assert names(machine) == {"m1", "m2"}
    assert not trouble(machine)


def test_a_machine_that_was_replaced_keeps_the_machines_that_it_knew_and_says_so(machine):
    machine.daemon.shared.serial = "1"
    machine.store.put("machines/m1", encode(SharedMachine(address="10.0.0.9", serial="2")))
    machine.run(5.0)
    assert machine.intent.members.machines["m1"].address != "10.0.0.9"
    assert "or replaced: others refuse it" in trouble(machine)


def test_a_copy_that_is_older_than_the_certificate_says_nothing_of_the_machine(machine):
    machine.store.put("machines/m1", encode(SharedMachine(address="10.0.0.1", serial="1")))
    machine.run(1.0)
    machine.store.happen("away")
    machine.lose_daemon()
    machine.begin()
    machine.daemon.shared.serial = "2"
    machine.run(60.0)
    assert not trouble(machine)
    machine.store.happen("right")
    machine.run(60.0)
    assert "or replaced: others refuse it" in trouble(machine)


def test_machines_that_cannot_be_written_are_tried_again(machine):
    machine.disk.full = True
    machine.store.happen({"m1", "m2"})
    machine.run(5.0)
    assert names(machine) == {"m1", "m2", "m3"}
    assert "cannot use the machines of the cluster as its store has them" in trouble(machine)
    machine.disk.full = False
    machine.run(RETRY_INTERVAL)
    assert names(machine) == {"m1", "m2"}
    assert not trouble(machine)


def test_another_value_of_a_machine_changes_no_files(machine):
    before = machine.intent.members
    record = SharedMachine(address="10.0.0.2", labels=("1",), state="leaving")
    machine.store.put("machines/m2", encode(record))
    machine.run(1.0)
    assert machine.intent.members is before
    machine.store.put("machines/m2", encode(SharedMachine(address="10.0.0.2", serial="5f")))
    machine.run(1.0)
    assert machine.intent.members.serials == {"m2": "5f"}
