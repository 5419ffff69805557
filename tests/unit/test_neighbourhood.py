"""The other machines as a daemon sees them, and its own drain, by the engine that ships."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from portico.core.model.app import App
from portico.core.model.event import EventFilter, Requester
from portico.core.model.instance import InstanceState
from portico.core.model.neighbour import NearList
from portico.core.model.requests import DownRequest
from portico.core.planning.neighbours import read_near
from portico.engine.cluster.machine_drain import MachineDrain
from portico.engine.control.convergence import Convergence
from portico.engine.control.down import Down, ProjectName
from portico.engine.control.members import MemberOperations
from portico.errors import Refused
from tests.unit.test_safety_cluster import LinkedMachine

EVERY = EventFilter(kinds=("machine",))
WEB = {"web": 2}


@pytest.fixture
def machine() -> Iterator[LinkedMachine]:
    """With one app that both others have, too."""
    with LinkedMachine() as machine:
        machine.others.lists = {name: NearList(name, WEB) for name in ("m2", "m3")}
        machine.up("web", App(command="run", instances=2), "v1")
        machine.run(5.0)
        assert read_near(machine.others.file, "m1").apps == WEB
        yield machine


def far(machine: LinkedMachine) -> list[str]:
    return [each.machine for each in machine.daemon.discovery.far["web"]]


def ready(machine: LinkedMachine) -> int:
    return len(machine.in_state(InstanceState.READY))


def drain(machine: LinkedMachine) -> None:
    machine.drain(drained=True)
    machine.run(10.0)
    assert machine.instances == {}
    assert read_near(machine.others.file, "m1") == NearList("m1", leaving=True)


def test_a_machine_that_is_lost_and_back_is_said_once_each(machine):
    machine.others.cut = {"m2"}
    machine.run(3.0)
    [view, _] = machine.daemon.neighbourhood.views()

    assert far(machine) == ["m3"]
    assert (view.name, view.used, view.reached) == ("m2", False, False)
    machine.others.cut = set()
    machine.run(1.0)
    assert far(machine) == ["m2", "m3"]
    said = [(e.subject, e.text) for e in machine.disk.events(EVERY, 10)]
    assert said == [
        ("m2", "gets no requests: it does not answer in time"),
        ("m2", "gets requests again"),
    ]


def test_a_new_daemon_that_is_cut_off_leaves_nginx_what_it_has(machine):
    machine.others.cut = {"m2", "m3"}
    machine.lose_daemon()
    machine.begin()
    machine.run(10.0)

    assert machine.daemon.discovery.far == {}
    assert ready(machine) == 2


def test_a_drained_machine_is_drained_for_the_next_daemon_until_it_is_not(machine):
    drain(machine)
    machine.others.cut = {"m2", "m3"}  # until they are known, what was known then holds
    machine.lose_daemon()
    machine.begin()
    machine.run(5.0)
    assert machine.instances == {}

    machine.others.cut = set()
    machine.run(5.0)
    assert machine.instances == {}
    machine.drain(drained=False)
    machine.run(5.0)
    assert ready(machine) == 2
    assert read_near(machine.others.file, "m1") == NearList("m1", WEB)


def test_a_drained_machine_that_others_refuse_runs_its_apps_again(machine):
    """It was removed: unlike one that is cut off, it knows that it sends them nothing."""
    drain(machine)
    machine.others.cut, machine.others.refuses = {"m2"}, {"m3"}
    machine.run(5.0)
    assert ready(machine) == 2


def test_what_no_other_machine_has_any_more_runs_on_a_drained_one_again(machine):
    drain(machine)
    machine.others.lists = {name: NearList(name) for name in ("m2", "m3")}
    machine.run(5.0)
    assert ready(machine) == 2
    assert read_near(machine.others.file, "m1") == NearList("m1", WEB, leaving=True)

    machine.others.lists["m2"] = NearList("m2", WEB, leaving=True)  # drained, too
    machine.run(10.0)
    assert machine.daemon.neighbourhood.drained_machines() == {"m1", "m2"}
    assert ready(machine) == 2
    machine.others.lists["m2"] = NearList("m2", WEB)
    machine.run(10.0)
    assert machine.instances == {}


def test_a_drained_machine_leaves_workers_and_schedules_to_those_that_have_them(machine):
    jobs = App(command="jobs", port=False)
    machine.up("jobs", jobs, "j1")
    machine.up("once", App(command="migrate", port=False, autorestart=False), "o1")
    machine.up("clean", App(command="clean", port=False, schedule="@hourly"), "c1")
    machine.run(5.0)
    assert read_near(machine.others.file, "m1").apps == {**WEB, "jobs": 1, "clean": 1}
    machine.others.lists["m2"] = NearList("m2", {**WEB, "jobs": 1})
    machine.drain(drained=True)
    machine.run(10.0)
    assert [i.app for i in machine.instances.values()] == ["once"]
    assert read_near(machine.others.file, "m1").apps == {"clean": 1}
    machine.others.lists["m2"] = NearList("m2", WEB)
    machine.run(5.0)
    assert len(machine.in_state(InstanceState.READY, "jobs")) == 1


def test_of_a_total_others_run_the_part_of_a_drained_machine_until_it_has_it_again():
    with LinkedMachine() as machine:
        lists = machine.others.lists
        lists |= {name: NearList(name, WEB) for name in ("m2", "m3")}
        machine.up("web", App(command="run", total=6), "v1")
        machine.run(5.0)
        assert ready(machine) == 2
        lists["m2"] = NearList("m2", WEB, leaving=True)
        machine.run(5.0)
        assert ready(machine) == 3

        machine.lose_daemon()
        machine.others.cut = {"m2"}
        machine.begin()
        machine.run(5.0)
        assert ready(machine) == 3
        machine.others.cut = set()
        lists["m2"] = NearList("m2", {"web": 1})
        machine.run(5.0)
        assert ready(machine) == 3
        lists["m2"] = NearList("m2", WEB)
        machine.run(5.0)
        assert ready(machine) == 2


def test_of_a_total_a_machine_that_joins_has_its_part_once_it_runs_it():
    with LinkedMachine(has_store=True) as machine:
        machine.store.put_machines({"m1", "m2"})
        lists = machine.others.lists
        lists |= {"m2": NearList("m2", {"web": 3}), "m3": NearList("m3")}
        machine.run(5.0)
        machine.up("web", App(command="run", total=6), "v1")
        machine.run(5.0)
        assert ready(machine) == 3
        machine.others.cut = {"m3"}
        machine.store.put_machines({"m1", "m2", "m3"})
        machine.run(5.0)
        assert ready(machine) == 3
        machine.lose_daemon()
        machine.begin()
        machine.others.cut = set()
        machine.run(5.0)
        assert ready(machine) == 3
        lists["m3"] = NearList("m3", WEB)
        machine.run(5.0)
        assert ready(machine) == 2


def test_of_a_total_machines_that_join_at_once_run_no_part_twice_where_one_gets_no_file():
    """Nothing is heard of it: it has no nginx yet."""
    with LinkedMachine(has_store=True) as machine:
        machine.store.put("progress/m2", b"{}")
        lists = machine.others.lists
        lists["m2"], machine.others.cut = NearList("m2", {"web": 6}), {"m3"}
        machine.run(5.0)
        machine.up("web", App(command="run", total=6), "v1")
        machine.run(5.0)
        assert ready(machine) == 3
        machine.store.put("progress/m3", b"{}")
        lists |= {"m2": NearList("m2", {"web": 3}), "m3": NearList("m3", {"web": 1})}
        machine.others.cut = set()
        machine.run(5.0)
        assert ready(machine) == 3
        lists["m3"] = NearList("m3", WEB)
        machine.run(5.0)
        assert ready(machine) == 2


def test_a_drained_machine_keeps_its_part_of_a_total_until_others_run_it():
    with LinkedMachine() as machine:
        lists = machine.others.lists
        lists |= {name: NearList(name, WEB) for name in ("m2", "m3")}
        machine.up("web", App(command="run", total=6), "v1")
        machine.run(5.0)
        machine.drain(drained=True)
        machine.run(10.0)
        assert ready(machine) == 2
        lists |= {name: NearList(name, {"web": 3}) for name in ("m2", "m3")}
        machine.run(10.0)
        assert machine.instances == {}
        lists["m3"] = NearList("m3", WEB)  # one has crashed there: that is no reason to come back
        machine.run(5.0)
        assert machine.instances == {}
        machine.drain(drained=False)
        machine.run(5.0)
        assert ready(machine) == 2


def test_a_drained_machine_keeps_also_what_it_runs_for_another_one():
    with LinkedMachine() as machine:
        lists = machine.others.lists
        lists |= {"m2": NearList("m2", WEB, leaving=True), "m3": NearList("m3", {"web": 3})}
        machine.up("web", App(command="run", total=6), "v1")
        machine.run(5.0)
        assert ready(machine) == 3
        machine.drain(drained=True)
        machine.run(10.0)
        assert ready(machine) == 3
        lists["m3"] = NearList("m3", {"web": 6})
        machine.run(10.0)
        assert machine.instances == {}


def test_machines_that_return_at_once_get_their_parts_of_a_total_back():
    with LinkedMachine() as machine:
        lists = machine.others.lists
        lists |= {name: NearList(name, WEB, leaving=True) for name in ("m2", "m3")}
        machine.up("web", App(command="run", total=6), "v1")
        machine.run(5.0)
        assert ready(machine) == 6
        lists |= {"m2": NearList("m2", WEB), "m3": NearList("m3", {"web": 1})}
        machine.run(5.0)
        assert ready(machine) == 6
        lists["m3"] = NearList("m3", WEB)
        machine.run(5.0)
        assert ready(machine) == 2


@pytest.mark.parametrize("ends", ["others have it", "a second call", "the daemon exits"])
def test_the_end_of_everything_waits_until_others_run_the_part_of_a_total(ends):
    """Or until it is asked for again; where the daemon exits meanwhile, the next one ends it."""
    with LinkedMachine() as machine:
        lists, daemon = machine.others.lists, machine.daemon
        lists |= {name: NearList(name, WEB) for name in ("m2", "m3")}
        machine.up("web", App(command="run", total=6), "v1")
        machine.run(5.0)
        convergence = Convergence(daemon.engine, None, nginx=daemon.nginx, sites=None)
        drain_operations = MachineDrain(daemon.engine, daemon.neighbourhood, convergence)
        down = Down(daemon.engine, daemon.in_force, convergence)

        def end() -> None:
            daemon.group.create_task(
                down.begin(
                    Requester("root"),
                    ProjectName(None, None, ""),
                    DownRequest(everything=True),
                    drain_operations,
                )
            )
            machine.run(10.0)

        end()
        assert ready(machine) == 2
        assert read_near(machine.others.file, "m1") == NearList("m1", WEB, leaving=True)
        if ends == "the daemon exits":
            [task] = [
                t for t in asyncio.all_tasks(machine.loop) if t.get_name() == "down of 1 app"
            ]
            task.cancel()
            machine.run(1.0)
            assert machine.disk.setting("in_force") == "{}"
            return
        if ends == "others have it":
            lists |= {name: NearList(name, {"web": 3}) for name in ("m2", "m3")}
            machine.run(10.0)
        else:
            end()
        assert machine.instances == {}
        assert read_near(machine.others.file, "m1") == NearList("m1", leaving=True, down=True)
        [view] = daemon.engine.changes.views()
        assert view.state == "done"
        assert view.lines[0] == "waiting until other machines run this machine's part of web"
        for act in (drain_operations.drain, drain_operations.undrain):
            with pytest.raises(Refused, match="no file is in force on it; nothing was changed"):
                act(Requester("root"))


def test_the_end_of_all_is_the_end_of_a_drain(machine):
    drain(machine)
    machine.down(at_once=False)
    machine.run(10.0)
    machine.up("web", App(command="run", instances=2), "v1")
    machine.run(5.0)

    assert ready(machine) == 2


def test_where_the_list_cannot_be_written_there_is_none_and_nothing_else_stops(machine):
    machine.disk.full = True
    machine.crash(next(iter(machine.processes.values())))
    machine.run(0.2)
    assert machine.others.file == b""

    machine.set_stopped("web", stopped=True)
    machine.run(10.0)
    assert machine.instances == {}
    machine.disk.full = False
    machine.set_stopped("web", stopped=False)
    machine.run(10.0)
    assert read_near(machine.others.file, "m1").apps == WEB


def test_a_drained_machine_runs_its_apps_again_when_no_other_machine_is_left(machine):
    drain(machine)
    machine.machines = {"m1": machine.machines["m1"]}
    machine.pause("web", paused=True)  # as any change, it renders what is in force again
    machine.run(10.0)
    assert ready(machine) == 2


def test_another_machine_is_drained_only_with_a_store():
    operations = MemberOperations()
    operations.machine_drain = SimpleNamespace(machine="m1")
    with pytest.raises(Refused, match=r"has no store; nothing was changed.*drain` on m2"):
        asyncio.run(operations.drain(None, "m2"))


def test_of_two_machines_the_dead_one_is_left_out_where_the_store_says_so_too():
    """And what it had runs again on one that is drained."""
    with LinkedMachine(has_store=True) as machine:
        machine.store.happen({"m1", "m2"})
        machine.store.happen("together")
        machine.others.lists["m2"] = NearList("m2", WEB)
        machine.up("web", App(command="run", instances=2), "v1")
        machine.run(10.0)
        drain(machine)
        machine.others.cut = {"m2"}
        machine.run(10.0)
        assert (far(machine), ready(machine)) == (["m2"], 0)
        machine.store.happen("alone")
        machine.run(10.0)
        assert (far(machine), ready(machine)) == ([], 2)
