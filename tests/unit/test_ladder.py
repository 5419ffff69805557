"""From a failed check to a restart, with every step of the plan, on a machine in memory."""

from __future__ import annotations

import pytest

from portico.core.model.app import App
from portico.core.model.check import Check
from portico.core.model.instance import InstanceState
from portico.core.planning.steps import Drain, Publish, Restart, Revert, StartInstance
from tests.unit.outside import GOOD, Program
from tests.unit.simulation import Machine

S = InstanceState
CHECK = Check(interval=1.0, fall=3)
NEVER_AGAIN = Program(ready_after=100.0)


@pytest.fixture
def machine(machine: Machine) -> Machine:
    machine.up("web", App(instances=4, health=CHECK, stop_timeout=2, max_restarts=3), "v1")
    machine.run(3)
    assert len(machine.in_state(S.READY)) == 4
    machine.done.clear()
    return machine


def hang(machine: Machine, *slots: int) -> list[str]:
    found = [i for i in machine.instances.values() if i.slot in slots]
    for i in found:
        machine.hang(machine.processes[i.id])
    return [i.id for i in found]


def slots(machine: Machine) -> list[int]:
    return [peer.slot for peer in machine.workers[0]["web"]]


def seconds_until(machine: Machine, true) -> float:
    begun = machine.now
    while not true():
        machine.run(0.1)
        assert machine.now - begun < 120
    return machine.now - begun


def test_a_hung_instance_leaves_is_restarted_and_comes_back(machine):
    (hung,) = hang(machine, 2)
    assert seconds_until(machine, lambda: slots(machine) == [1, 3, 4]) <= 3 * 1 + 1 + 1
    assert machine.instances[hung].state is S.UNREADY
    assert seconds_until(machine, lambda: machine.instances[hung].state is S.RESTARTING) <= 5
    assert machine.instances[hung].reason == "fails its health check: no answer"
    seconds_until(machine, lambda: slots(machine) == [1, 2, 3, 4])
    assert (machine.instances[hung].restarts, machine.instances[hung].crashes) == (1, 1)
    assert [type(step).__name__ for step in machine.done] == [
        "Publish",
        "Restart",
        "Kill",
        "Respawn",
        "Publish",
    ]


def test_one_that_recovers_in_time_is_not_restarted(machine):
    (hung,) = hang(machine, 2)
    seconds_until(machine, lambda: slots(machine) == [1, 3, 4])
    machine.recover(machine.processes[hung])
    seconds_until(machine, lambda: slots(machine) == [1, 2, 3, 4])
    assert machine.instances[hung].restarts == 0
    assert not any(isinstance(step, Restart) for step in machine.done)


def test_when_all_hang_all_stay_and_one_at_a_time_is_restarted(machine):
    hang(machine, 1, 2, 3, 4)
    seconds_until(machine, lambda: machine.in_state(S.RESTARTING))
    assert len(slots(machine)) == 3
    away = {S.RESTARTING, S.BACKOFF, S.STARTING}
    while not machine.in_state(S.READY):
        assert len([i for i in machine.instances.values() if i.state in away]) == 1
        assert len(slots(machine)) == 3
        machine.run(0.1)
    # From the first that is ready again on, it alone gets requests, and the rest may go together.
    seconds_until(machine, lambda: len(slots(machine)) == 1)
    seconds_until(machine, lambda: slots(machine) == [1, 2, 3, 4])


def test_where_a_restart_does_not_help_the_others_are_left_alone(machine):
    machine.programs = dict.fromkeys(machine.programs, Program(ready_after=1e9))
    hang(machine, 1, 2, 3, 4)
    seconds_until(machine, lambda: machine.in_state(S.FAILED))
    machine.run(60)
    assert len(machine.in_state(S.FAILED)) == 1
    assert len(machine.in_state(S.UNREADY)) == 3
    assert len(slots(machine)) == 3


def test_a_loop_of_unhealthy_restarts_ends_and_is_reported(machine):
    (hung,) = hang(machine, 2)

    def again() -> bool:
        if hung in machine.processes:
            machine.processes[hung].hung = machine.instances[hung].state is not S.STARTING
        return machine.instances[hung].state is S.FAILED

    seconds_until(machine, again)
    assert slots(machine) == [1, 3, 4]


def test_a_new_daemon_knows_the_verdict(machine):
    hang(machine, 2)
    seconds_until(machine, lambda: slots(machine) == [1, 3, 4])
    machine.lose_daemon()
    machine.begin()
    machine.run(0.1)
    assert [e.slot for e in machine.daemon.endpoints["web"]] == [1, 3, 4]


def test_a_slot_whose_instance_fails_its_check_is_replaced_first_and_at_once(machine):
    hang(machine, 3)
    seconds_until(machine, lambda: slots(machine) == [1, 2, 4])
    machine.done.clear()
    machine.reload("web")
    machine.rest()
    started = [step.slot for step in machine.done if isinstance(step, StartInstance)]
    assert started == [3]


def test_a_rollout_with_pinned_ports_never_takes_the_last_that_perhaps_answers(machine):
    check = Check(interval=1.0, fall=3, restart=False)
    machine.up("web", App(instances=2, port=3000, health=check), "v1")
    machine.run(20)
    hang(machine, 1, 2)
    machine.run(6)
    assert slots(machine) == [1, 2]
    machine.reload("web")
    while len(machine.in_state(S.READY)) < 2:
        machine.run(0.1)
        assert slots(machine)
    machine.run(20)
    assert slots(machine) == [1, 2]
    assert {i.port for i in machine.in_state(S.READY)} == {3000, 3001}


def test_a_rollout_whose_new_instance_fails_its_check_is_given_up(machine):
    machine.up("web", machine.file["web"], "v2", GOOD)
    new = None
    while new is None:
        machine.run(0.1)
        new = next((i for i in machine.in_state(S.READY) if i.spec.startswith("v2")), None)
    machine.hang(machine.processes[new.id])
    machine.programs["v2:None"] = NEVER_AGAIN  # nothing more of it becomes ready
    seconds_until(machine, lambda: any(isinstance(step, Revert) for step in machine.done))
    assert machine.records["web"].target.id.startswith("v1")
    seconds_until(
        machine,
        lambda: (
            slots(machine) == [1, 2, 3, 4]
            and {i.spec for i in machine.in_state(S.READY)} == {"v1:None"}
        ),
    )


def test_stopping_the_app_ends_what_is_unready_too(machine):
    hang(machine, 2)
    seconds_until(machine, lambda: slots(machine) == [1, 3, 4])
    machine.set_stopped("web", stopped=True)
    seconds_until(machine, lambda: not machine.instances)
    assert not any(isinstance(step, Restart) for step in machine.done)
    assert len([step for step in machine.done if isinstance(step, Drain)]) == 4
    assert any(isinstance(step, Publish) and not step.endpoints for step in machine.done)
