"""Changes from their beginning to their end, on a machine in memory."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from portico.core.model.app import App
from portico.core.model.instance import InstanceState
from portico.core.planning.steps import (
    Drain,
    Kill,
    Respawn,
    Revert,
    StartInstance,
    Stop,
    SwitchGeneration,
)
from portico.engine.control.convergence import Convergence
from tests.unit.outside import CRASHING, GOOD, HANGING, STUBBORN
from tests.unit.simulation import Machine

S = InstanceState
KEYS = {"ready_timeout": 5, "stop_timeout": 3, "drain_timeout": 4}


def running(machine: Machine, name="web", **keys) -> None:
    machine.up(name, App(**KEYS | keys), "v1")
    machine.run(3)
    assert len(machine.answering(name)) == machine.file[name].instances
    machine.done.clear()


def roll(machine: Machine, program=GOOD, **keys) -> tuple[int, int]:
    """Roll v2 out; the fewest that answered, and the most that were starting at a time."""
    machine.up("web", machine.file["web"].model_copy(update=keys), "v2", program)
    fewest = most = len(machine.answering("web"))
    most = 0
    for _ in range(600):
        machine.run(0.1)
        fewest = min(fewest, len(machine.answering("web")))
        most = max(most, len(machine.in_state(S.STARTING)))
    return fewest, most


def versions(machine: Machine) -> list[str]:
    return [i.spec.split(":")[0] for i in machine.in_state(S.READY)]


def kinds(machine: Machine, *wanted: type) -> list[str]:
    return [type(step).__name__ for step in machine.done if isinstance(step, wanted)]


@pytest.mark.parametrize("batch", [1, 3])
def test_a_rollout_replaces_a_batch_at_a_time_and_loses_nobody(machine, batch):
    running(machine, instances=6, batch=batch)
    assert roll(machine) == (6, batch)
    assert versions(machine) == ["v2"] * 6
    assert machine.records["web"].good.id == "v2:None"
    assert len(machine.instances) == 6


@pytest.mark.parametrize("batch", [1, 2])
def test_with_pinned_ports_a_batch_at_most_is_away(machine, batch):
    running(machine, instances=4, port=3000, batch=batch)
    assert roll(machine) == (4 - batch, batch)
    assert sorted(i.port for i in machine.in_state(S.READY)) == [3000, 3001, 3002, 3003]
    assert kinds(machine, StartInstance) == ["StartInstance"] * 4


def test_a_lone_pinned_port_is_served_all_the_time(machine):
    running(machine, port=3000)
    assert roll(machine)[0] == 1
    assert [i.port for i in machine.in_state(S.READY)] == [3000]
    assert kinds(machine, StartInstance, Drain, Stop) == [
        "StartInstance",
        "Drain",
        "Stop",
        "StartInstance",
        "Drain",
        "Stop",
    ]


def test_a_program_that_moves_to_other_ports_is_served_all_the_time(machine):
    running(machine, instances=3, port=3000)
    assert roll(machine, port=3001)[0] == 3
    assert sorted(i.port for i in machine.in_state(S.READY)) == [3001, 3002, 3003]


@pytest.mark.parametrize("program", [CRASHING, HANGING])
@pytest.mark.parametrize("port", [None, 3000])
def test_a_version_that_does_not_come_up_is_reverted_and_nobody_notices(machine, program, port):
    running(machine, instances=3, port=port)
    fewest, _ = roll(machine, program)
    assert fewest == (3 if port is None else 2)
    assert versions(machine) == ["v1"] * 3
    assert kinds(machine, Revert) == ["Revert"]
    assert len(machine.instances) == 3


def until_reverted(machine: Machine) -> None:
    """Its daemon does nothing more than that."""
    for _ in range(1000):
        if kinds(machine, Revert):
            return
        machine.tick(0.05)
        machine.step()
    raise AssertionError(machine.done)


@pytest.mark.parametrize("by_reload", [False, True])
def test_the_same_program_again_is_not_what_failed_before_though_that_is_still_there(
    machine, by_reload
):
    running(machine)
    web = machine.file["web"]
    machine.up("web", web, "v2", CRASHING)
    until_reverted(machine)
    [failed] = [i for i in machine.of("web") if i.crashes]
    machine.programs["v2:None"] = GOOD
    if by_reload:
        machine.reload("web")
    else:
        machine.up("web", web, "v2")
    assert failed.id in machine.instances
    assert machine.records["web"].target.id != failed.spec
    machine.run(20)
    assert versions(machine) == ["v2"]
    assert kinds(machine, Revert) == ["Revert"]
    machine.up("web", web, "v1")
    machine.up("web", web, "v2")
    assert machine.records["web"].target.id != failed.spec


class Commands:
    """What waits for the machine, and reports how a change of it has ended."""

    def __init__(self, machine: Machine) -> None:
        daemon, self.machine = machine.daemon, machine
        self.changes = daemon.engine.changes
        report = SimpleNamespace(last_lines=lambda *_: [], waits_for=lambda _: "")
        self.convergence = Convergence(
            daemon.engine, report, nginx=machine.nginx_port, sites=SimpleNamespace()
        )

    def begin(self, *apps: str) -> str:
        return self.changes.begin("up", "x", apps, lambda c: self.convergence.apps(c, apps)).id

    def end(self, change: str) -> str | None:
        self.machine.run(20)
        view = self.changes.view(change)
        assert view.state != "doing"
        return view.error


def test_a_command_reports_only_what_was_given_up_since_it_began(machine):
    running(machine)
    commands, web = Commands(machine), machine.file["web"]
    machine.up("web", web, "v2", CRASHING)
    first = commands.begin("web")
    until_reverted(machine)
    machine.tick(2)
    assert "web was rolled back" in commands.changes.view(first).error
    machine.set_stopped("web", stopped=True)
    assert commands.end(commands.begin("web")) is None
    machine.set_stopped("web", stopped=False)
    assert commands.end(commands.begin("web")) is None
    [process] = machine.processes.values()
    machine.wear(process)
    assert commands.end(commands.begin("web")) is None
    assert "web" in machine.intent.revert_reasons
    machine.up("web", web, "v2", GOOD)
    assert commands.end(commands.begin("web")) is None
    machine.up("web", web, "v3", CRASHING)
    assert "web was rolled back" in commands.end(commands.begin("web"))


def test_open_connections_hold_a_rollout_up_for_drain_timeout_only(machine):
    running(machine)
    (old,) = machine.in_state(S.READY)
    machine.processes[old.id].connections = 1
    machine.up("web", machine.file["web"], "v2")
    machine.run(4)
    assert machine.instances[old.id].state is S.DRAINING
    machine.run(3)
    assert old.id not in machine.instances


def test_a_program_that_ignores_its_signal_is_killed(machine):
    machine.up("web", App(**KEYS), "v1", STUBBORN)
    machine.run(3)
    machine.set_stopped("web", stopped=True)
    machine.run(10)
    assert not machine.instances
    assert kinds(machine, Stop, Kill) == ["Stop", "Kill"]


def test_a_restart_is_abrupt_and_ends_with_new_instances(machine):
    running(machine, instances=2)
    machine.reload("web", abrupt=True)
    machine.rest()
    assert [i.state for i in machine.instances.values()] == [S.STOPPING] * 2
    machine.run(3)
    assert len(machine.answering("web")) == 2
    assert not machine.records["web"].abrupt


def test_an_app_is_stopped_and_started_by_hand(machine):
    running(machine, instances=2)
    machine.set_stopped("web", stopped=True)
    machine.run(10)
    assert not machine.instances
    assert machine.daemon.endpoints == {"web": ()}
    machine.set_stopped("web", stopped=False)
    machine.run(3)
    assert len(machine.answering("web")) == 2


def test_an_app_that_is_removed_leaves_after_nginx_names_it_no_more(machine):
    running(machine, "old")
    machine.up("web", App(**KEYS), "v1")
    machine.remove("old")
    machine.run(0.3)
    assert [i.state for i in machine.of("old")] == [S.READY]
    machine.run(10)
    assert machine.intent.fingerprint == machine.nginx.live == "web"
    assert not machine.of("old")
    assert machine.daemon.endpoints.keys() == machine.records.keys() == {"web"}


@pytest.mark.parametrize("moment", ["spawn", "spawned"])
@pytest.mark.parametrize("gone", [0.1, 60])
@pytest.mark.parametrize("port", [None, 3000])
def test_a_daemon_that_dies_in_a_start_reverts_nothing_and_leaves_nobody(
    machine, moment, port, gone
):
    running(machine, instances=2, port=port)
    machine.up("web", machine.file["web"], "v2")
    for _ in range(300):
        if not any(i.spec.startswith("v2") for i in machine.instances.values()):
            machine.lose_daemon(moment)
        if machine.daemon is None:
            machine.tick(gone)
            machine.begin()
        elif not machine.step():
            machine.tick(0.1)
        assert machine.answering("web")
    assert versions(machine) == ["v2", "v2"]
    assert kinds(machine, Revert) == []
    assert [i.restarts for i in machine.instances.values()] == [0, 0]
    assert machine.processes.keys() == machine.instances.keys()


def test_a_daemon_that_dies_in_a_restart_leaves_nobody(machine):
    running(machine)
    machine.lose_daemon("spawned")
    machine.crash(next(iter(machine.processes.values())))
    machine.tick(1)
    while machine.daemon is not None:
        machine.step()
        machine.tick(0.1)
    machine.begin()
    machine.run(2)
    assert [i.restarts for i in machine.in_state(S.READY)] == [1]
    assert kinds(machine, Respawn) == ["Respawn"]


def test_a_removed_app_is_looked_after_for_as_long_as_nginx_serves_it(machine):
    running(machine, "old")
    machine.up("web", App(**KEYS), "v1")
    machine.refuses.add("web")
    machine.remove("old")
    machine.run(1)
    machine.lose_daemon()
    machine.begin()
    machine.crash(machine.processes[machine.of("old")[0].id])
    machine.run(5)
    assert machine.nginx.live == "old"
    assert len(machine.answering("old")) == 1


def test_an_app_that_was_removed_is_forgotten_also_by_a_new_daemon(machine):
    running(machine, "old")
    machine.up("web", App(**KEYS), "v1")
    machine.run(3)
    machine.remove("old")
    while machine.of("old"):
        machine.tick(0.1)
        machine.step()
    machine.lose_daemon()
    machine.begin()
    machine.run(1)
    assert machine.records.keys() == {"web"}
    assert machine.intent.desired.removed_apps == {}


def test_a_generation_that_nginx_refuses_leaves_the_one_before_in_force(machine):
    running(machine)
    machine.refuses.add("api+web")
    machine.up("api", App(**KEYS), "v1")
    machine.run(5)
    assert machine.nginx.live == "web"
    assert len(machine.answering("web")) == 1
    assert kinds(machine, SwitchGeneration) == ["SwitchGeneration"]


@pytest.mark.parametrize("port", [None, 3000])
def test_a_rollout_goes_on_where_the_daemon_was_lost(machine, port):
    running(machine, instances=2, port=port)
    machine.up("web", machine.file["web"], "v2")
    for _ in range(600):
        if not machine.step():
            machine.tick(0.1)
        elif len(machine.done) % 4 == 0:
            machine.lose_daemon()
            machine.begin()
        assert machine.answering("web")
    assert versions(machine) == ["v2", "v2"]
    assert len(machine.instances) == 2
    assert kinds(machine, StartInstance) == ["StartInstance"] * 2


def test_a_worker_that_waits_for_the_answer_of_an_earlier_daemon_is_told_before_anything_stops(
    machine,
):
    running(machine, instances=2)
    machine.lose_daemon()
    machine.tick(0.6)  # one of nginx's two workers has asked in vain
    machine.begin()
    machine.up("web", machine.file["web"], "v2")
    machine.run(30)
    assert versions(machine) == ["v2", "v2"]
