from __future__ import annotations

from itertools import pairwise

import pytest

from portico.core.model.app import App
from portico.core.model.desired import DesiredApp, Spec
from portico.core.model.instance import Instance, InstanceState
from portico.core.model.names import InstanceId
from portico.core.model.world import World
from portico.core.planning.reconcile import RETRY_INTERVAL
from portico.core.planning.recycling import AGE_SPREAD, SETTLE_TIMEOUT, age_limit, recycle
from portico.core.planning.steps import Drain, Revert, StartInstance
from tests.unit.outside import CRASHING, GOOD

S = InstanceState
MIB = 1 << 20
NOW = 100_000.0


def app(**keys) -> DesiredApp:
    its = App(command="run", **keys)
    return DesiredApp("web", 2, Spec("v1", "web", its, "/srv", {}))


def instance(*, age: float = 600.0, serial: int = 1, **fields) -> Instance:
    known = {"spec": "v1", "state": S.READY} | fields
    name = InstanceId(f"web.1.{serial}")
    return Instance(name, "web", 1, port=41000, since=NOW, spawned=NOW - age, **known)


def marked(its: DesiredApp, i: Instance, held: int = 0) -> list[str]:
    return [step.why for step in recycle(its, [i], World(NOW, memory={i.id: held}))]


def test_an_instance_over_its_limit_of_memory_is_worn():
    said = marked(app(max_memory="300M"), instance(), 312 * MIB)
    assert said == ["it uses 312 MiB of memory; max_memory is 300 MiB"]


@pytest.mark.parametrize(
    ("keys", "fields", "held"),
    [
        ({"max_memory": "300M"}, {}, 300 * MIB),
        ({"max_memory": "300M"}, {"age": SETTLE_TIMEOUT - 1}, 900 * MIB),
        ({"max_memory": "300M"}, {"worn": "it is old"}, 900 * MIB),
        ({"max_memory": "300M"}, {"spec": "v0"}, 900 * MIB),
        ({"max_memory": "300M"}, {"state": S.DRAINING}, 900 * MIB),
        ({"max_memory": "300M"}, {"state": S.STARTING}, 900 * MIB),
        ({}, {"age": 1e9}, 900 * MIB),
        ({"max_age": "1h"}, {"age": 3200.0}, 0),
    ],
)
def test_no_other_instance_is(keys, fields, held):
    assert marked(app(**keys), instance(**fields), held) == []


@pytest.mark.parametrize(
    ("state", "due", "why"),
    [
        (S.READY, True, ["its restart_schedule"]),
        (S.STOPPED, True, ["its restart_schedule"]),
        (S.STOPPED, False, []),
        (S.FAILED, True, []),
    ],
)
def test_what_has_ended_is_started_again_at_the_times_of_its_restart_schedule(state, due, why):
    its, i = app(restart_schedule="@daily", stop_exit_codes=(0,)), instance(state=state)
    due_apps = frozenset({"web"}) if due else frozenset()
    assert [step.why for step in recycle(its, [i], World(NOW, due=due_apps))] == why


def test_an_instance_that_has_reached_its_age_is_worn():
    assert marked(app(max_age="1h"), instance(age=3970)) == ["it reached its max_age"]


def test_ages_are_spread_evenly_within_a_tenth():
    limits = sorted(age_limit(1000, InstanceId(f"web.1.{serial}")) for serial in range(1, 9))
    assert limits[0] >= 1000 * (1 - AGE_SPREAD)
    assert limits[-1] <= 1000 * (1 + AGE_SPREAD)
    assert min(b - a for a, b in pairwise(limits)) > 10


def test_what_is_asked_for_by_hand_is_replaced():
    its = app()
    by_hand = DesiredApp(
        its.name, 2, its.spec, replace_instances=frozenset([InstanceId("web.1.1")])
    )
    assert marked(by_hand, instance()) == ["requested by hand"]
    assert marked(by_hand, instance(serial=2)) == []


@pytest.mark.parametrize("port", [None, 3000])
def test_all_worn_at_once_are_replaced_one_after_the_other(machine, port):
    machine.up("web", App(instances=3, port=port, drain_timeout=5), "v1")
    machine.run(10)
    before = {i.id for i in machine.in_state(S.READY)}
    for process in list(machine.processes.values()):
        machine.wear(process)
    fewest = 3
    for _ in range(600):
        machine.tick(0.1)
        machine.rest()
        fewest = min(fewest, len(machine.answering("web")))
        new = [i for i in machine.instances.values() if i.id not in before]
        assert sum(i.state is S.STARTING for i in new) <= 1
    assert fewest == (3 if port is None else 2)
    after = machine.in_state(S.READY)
    assert len(after) == 3
    assert before.isdisjoint(i.id for i in after)
    assert not any(i.worn for i in machine.instances.values())


def test_a_lone_instance_on_a_pinned_port_is_stood_in_for(machine):
    machine.up("web", App(instances=1, port=3000, drain_timeout=5), "v1")
    machine.run(10)
    (only,) = machine.in_state(S.READY)
    machine.wear(machine.processes[only.id])
    for _ in range(600):
        machine.tick(0.1)
        machine.rest()
        assert machine.answering("web")
    (after,) = machine.in_state(S.READY)
    assert after.id != only.id
    assert after.port == 3000


def test_if_the_successor_does_not_come_up_the_worn_one_serves_and_it_is_tried_again(machine):
    machine.up("web", App(instances=2, max_restarts=2, drain_timeout=5), "v1")
    machine.run(10)
    worn = machine.in_state(S.READY)[0]
    (version,) = machine.programs
    machine.programs[version] = CRASHING
    machine.wear(machine.processes[worn.id])
    machine.run(20)
    assert len(machine.answering("web")) == 2
    (failed,) = machine.in_state(S.FAILED)
    assert failed.slot == worn.slot
    assert not any(isinstance(step, (Drain, Revert)) for step in machine.done)
    machine.programs[version] = GOOD
    machine.run(RETRY_INTERVAL + 10)
    assert worn.id not in machine.instances
    assert [i.id for i in machine.in_state(S.READY) if i.slot == worn.slot] == [failed.id]
    assert sum(isinstance(step, StartInstance) for step in machine.done) == 3


def test_a_worn_instance_is_still_to_be_replaced_after_it_crashed_and_after_a_new_daemon(machine):
    machine.up("web", App(instances=2, drain_timeout=5), "v1")
    machine.run(10)
    worn = machine.in_state(S.READY)[0]
    machine.wear(machine.processes[worn.id])
    for _ in range(2):  # it is marked, and that is on record
        assert machine.step()
    machine.crash(machine.processes[worn.id])
    machine.lose_daemon()
    machine.begin()
    machine.run(30)
    assert worn.id not in machine.instances
    assert len(machine.in_state(S.READY)) == 2
