from __future__ import annotations

from dataclasses import replace

import pytest

from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.instance import Exit, Instance, InstanceState, LastExit, Process
from portico.core.model.names import InstanceId
from portico.core.model.world import World
from portico.core.planning.app_state import app_state
from portico.core.planning.lifecycle import after_exit
from portico.core.planning.reconcile import plan
from portico.core.planning.runs import ended_badly, ended_well, run_steps, runs_before
from portico.core.planning.steps import Complete, Drain, StartInstance
from tests.unit.outside import Program
from tests.unit.worlds import rolled_back

S = InstanceState
NOW = 1000.0
TASK = App(command="clean", port=False, schedule="*/5 * * * *", timeout=60, stop_timeout=5)
ONCE = App(command="migrate", port=False, autorestart=False)


def wanted(app: App = TASK, **more) -> DesiredApp:
    return DesiredApp("clean", 1, Spec("v1", "clean", app, "/srv", {}), **more)


def run(state: InstanceState = S.READY, **fields) -> Instance:
    live = state in {S.READY, S.STARTING, S.DRAINING, S.STOPPING}
    known = {"process": Process(7, 1.0) if live else None, "spec": "v1", "is_run": True} | fields
    spawned = known.pop("spawned", NOW - 10)
    return Instance(
        InstanceId("clean.1.4"), "clean", 1, port=0, state=state, since=spawned, spawned=spawned,
        **known,
    )  # fmt: skip


def steps(app: DesiredApp, *instances: Instance, due: bool = False) -> list[str]:
    return [f"{s}: {s.why}" for s in run_steps(app, instances, due=due, now=NOW)]


@pytest.mark.parametrize(
    ("instances", "due", "expected"),
    [
        ([], False, []),
        ([], True, ["start clean.1 on a free port: scheduled time"]),
        ([run(S.STOPPED)], False, []),
        ([run(S.STOPPED)], True, ["start clean.1.4 again: scheduled time"]),
        ([run(S.READY)], False, []),
        (
            [run(S.READY)],
            True,
            ["skip a run of clean: the previous run clean.1.4 has not finished"],
        ),
        (
            [run(S.STARTING)],
            True,
            ["skip a run of clean: the previous run clean.1.4 has not finished"],
        ),
        (
            [run(S.DRAINING)],
            True,
            ["skip a run of clean: the previous run clean.1.4 has not finished"],
        ),
        (
            [run(S.STOPPED, spec="v0")],
            True,
            [
                "drain clean.1.4: the version has changed",
                "start clean.1 on a free port: scheduled time",
            ],
        ),
        ([run(S.STOPPED, spec="v0")], False, []),
        ([run(S.READY, spec="v0")], False, []),
        (
            [run(S.READY, spec="v0")],
            True,
            ["skip a run of clean: the previous run clean.1.4 has not finished"],
        ),
        ([run(S.READY, is_run=False)], False, ["drain clean.1.4: it runs on a schedule now"]),
        (
            [run(S.READY, spawned=NOW - 60)],
            False,
            ["interrupt clean.1.4: ran longer than its timeout of 60s"],
        ),
    ],
)
def test_what_is_done_about_runs(instances, due, expected):
    assert steps(wanted(), *instances, due=due) == expected


def test_a_run_that_does_not_stop_is_killed_when_its_time_is_up():
    told = replace(run(S.READY, spawned=NOW - 70), reason="ran longer", since=NOW - 4)
    assert steps(wanted(), told) == []
    assert steps(wanted(), replace(told, since=NOW - 5)) == [
        "kill clean.1.4: did not stop in time"
    ]


def test_what_is_stopped_by_hand_runs_no_more():
    stopped = wanted(stopped=True)
    assert steps(stopped, due=True) == []
    assert steps(stopped, run(S.READY), due=True) == ["drain clean.1.4: stopped by hand"]


def test_a_run_on_a_machine_that_is_drained_ends_by_itself_and_is_the_last():
    left = wanted(stopped=True, is_left=True)
    assert steps(left, run(S.READY), due=True) == []
    assert steps(left, run(S.STOPPED)) == [
        "drain clean.1.4: this machine is drained, and other machines run it"
    ]
    assert steps(left, run(S.READY, spawned=NOW - 60)) == [
        "interrupt clean.1.4: ran longer than its timeout of 60s"
    ]


def test_a_schedule_is_as_wanted_before_its_first_run():
    world = World(NOW, endpoints={"clean": ()})
    assert plan(Desired(apps={"clean": wanted()}), world) == (
        Complete("clean", "it runs on a schedule"),
    )


@pytest.mark.parametrize("code", [0, 1])
def test_a_run_is_not_started_again_when_it_has_ended(code):
    after = after_exit(run(), Exit(code), TASK, now=NOW, jitter=0.0, reason="done")
    assert (after.state, after.ended) == (S.STOPPED, LastExit(Exit(code), 10.0))
    assert ended_badly(TASK, after) is (code != 0)


def test_what_is_to_run_once_is_as_wanted_when_it_has_ended_well(machine):
    once = Program(ready_after=None, exits_after=0.5, ends=Exit(0))
    machine.up("jobs", ONCE, "v1", once)
    machine.run(20)
    (only,) = machine.in_state(S.STOPPED, "jobs")
    assert ended_well(ONCE, only)
    assert machine.records["jobs"].good == machine.records["jobs"].target
    assert sum(isinstance(step, StartInstance) for step in machine.done) == 1


def test_another_version_of_it_runs_once_more(machine):
    machine.up("jobs", ONCE, "v1", Program(ready_after=None, exits_after=0.5, ends=Exit(0)))
    machine.run(10)
    machine.up("jobs", ONCE, "v2", Program(ready_after=None, exits_after=0.5, ends=Exit(0)))
    machine.run(10)
    (only,) = machine.in_state(S.STOPPED, "jobs")
    assert only.spec.startswith("v2")
    assert sum(isinstance(step, StartInstance) for step in machine.done) == 2
    assert sum(isinstance(step, Drain) for step in machine.done) == 1


def test_what_runs_once_runs_before_a_rollout_of_what_comes_after_it():
    def of(*after: str, must_end: bool = False) -> DesiredApp:
        its = App(command="x", after=after)
        return DesiredApp("", 1, Spec("v1", "", its, "/", {}), must_end=must_end)

    apps = {
        "web": of("migrate", "api"),
        "api": of("prepare"),
        "migrate": of("backup", must_end=True),
        "backup": of(must_end=True),
        "prepare": of(must_end=True),
    }
    assert runs_before(apps, ["web"]) == {"migrate", "backup"}
    assert runs_before(apps, ["api"]) == {"prepare"}
    assert runs_before(apps, ["backup", "unknown"]) == set()


@pytest.mark.parametrize(
    ("exit_", "keys", "well", "badly"),
    [
        (Exit(0), {}, True, False),
        (Exit(3), {}, False, True),
        (Exit(3), {"stop_exit_codes": (3,)}, True, False),
        (Exit(3), {"stop_exit_codes": (3,), "autorestart": True}, True, False),
        (Exit(signal=9), {}, False, True),
        (Exit(), {}, False, True),
        (Exit(0), {"port": None}, False, False),
    ],
)
def test_how_something_that_is_to_end_has_ended(exit_, keys, well, badly):
    app = ONCE.model_copy(update=keys)
    i = run(S.STOPPED, ended=LastExit(exit_, 1.0))
    assert (ended_well(app, i), ended_badly(app, i)) == (well, badly)


@pytest.mark.parametrize(
    ("app", "instances", "state"),
    [
        (wanted(), [], "scheduled"),
        (wanted(), [run(S.READY)], "running"),
        (wanted(), [run(S.STOPPED, ended=LastExit(Exit(0), 1.0))], "scheduled"),
        (wanted(), [run(S.STOPPED, ended=LastExit(Exit(1), 1.0))], "failed"),
        (wanted(stopped=True), [], "stopped"),
        (wanted(ONCE), [run(S.STOPPED, ended=LastExit(Exit(0), 1.0))], "stopped"),
        (wanted(ONCE), [run(S.STOPPED, ended=LastExit(Exit(1), 1.0))], "failed"),
        (wanted(ONCE), [run(S.READY)], "ready"),
        (wanted(App(command="x")), [run(S.READY)], "ready"),
        (wanted(App(command="x")), [run(S.READY, worn="it is old")], "rolling"),
        (wanted(App(command="x")), [run(S.READY, spec="v0")], "rolling"),
        (wanted(App(command="x")), [run(S.STARTING)], "starting"),
        (wanted(App(command="x")), [run(S.BACKOFF, crashes=2)], "failed"),
        (wanted(App(command="x")), [run(S.UNREADY)], "failed"),
        (
            wanted(App(command="x", stop_exit_codes=(3,))),
            [run(S.STOPPED, ended=LastExit(Exit(3), 1.0))],
            "stopped",
        ),
    ],
)
def test_how_an_app_is_in_one_word(app, instances, state):
    assert app_state(app, instances) == state


def test_an_app_that_other_machines_run_alone_is_elsewhere_once_none_is_left_here():
    app = replace(wanted(App(command="x")), instances=0)
    assert app_state(app, [], is_here=False) == "elsewhere"
    assert app_state(app, [], is_here=True) == "stopped"
    assert app_state(app, [run(S.READY)], is_here=False) == "ready"


def test_after_a_rollback_to_a_version_with_a_schedule_it_runs_on_that():
    its = rolled_back({"port": False, "schedule": "0 4 * * *"}, {"port": 3000})
    world = World(NOW, endpoints={"web": ()}, due=frozenset({"web"}))
    assert [type(s) for s in plan(Desired(apps={"web": its}), world)] == [StartInstance]
    assert not list(plan(Desired(apps={"web": its}), replace(world, due=frozenset())))
