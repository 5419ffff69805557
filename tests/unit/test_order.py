"""In which order apps begin, are replaced, and end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.app import App
from portico.core.model.instance import Exit, InstanceState, LastExit
from portico.core.model.world import NginxSeen
from portico.core.planning.app_state import app_state
from portico.core.planning.lifecycle import after_boot
from portico.core.planning.order import waiting_apps
from portico.core.planning.progress import progress
from portico.core.planning.reconcile import plan
from tests.examples import examples
from tests.unit.outside import CRASHING, GOOD, SLOW
from tests.unit.simulation import Machine
from tests.unit.worlds import NOW, SERVING, app, desired, one, said, world

S = InstanceState
NOTHING = NginxSeen()


def db(state=S.READY, slot=1, version="v1", **fields):
    return one(state, slot=slot, version=version, name="db", **fields)


DB = app("db", instances=2)
BOTH = (db(slot=1), db(slot=2))
WEB = app("web", after=("db",))


def steps(apps, *instances, generation="g1", **fields):
    seen = world(*instances, **{"knows": apps, **fields})
    return said(plan(desired(*apps), seen, generation=generation))


def why(apps, *instances):
    found = waiting_apps(desired(*apps), world(*instances).by_app())
    return {name: (wait.why, wait.is_blocked) for name, wait in found.items()}


# Beginning


@pytest.mark.parametrize(
    ("its", "instances", "expected"),
    [
        (DB, BOTH, None),
        (DB, [], ("waits for db (0 of 2 ready)", False)),
        (DB, BOTH[:1], ("waits for db (1 of 2 ready)", False)),
        (DB, [BOTH[0], db(S.STARTING, slot=2)], ("waits for db (1 of 2 ready)", False)),
        (
            DB,
            [BOTH[0], db(S.BACKOFF, slot=2, crashes=1, reason="exited with code 1")],
            ("waits for db: db.2.2 exited with code 1", True),
        ),
        (
            DB,
            [BOTH[0], db(S.GONE, slot=2, crashes=1)],  # it was stopped, and is not what comes
            ("waits for db (1 of 2 ready)", False),
        ),
        (
            DB,
            [BOTH[0], db(S.UNREADY, slot=2, reason="fails its health check: 500")],
            ("waits for db: db.2.2 fails its health check: 500", True),
        ),
        (
            app("db", stopped=True),
            [],
            ("waits for db, which is stopped (`portico start db`)", True),
        ),
        # a program that runs once
        (
            app("db", port=False, autorestart=False),
            [db(S.STOPPED, ended=LastExit(Exit(0), 2.0))],
            None,
        ),
        (
            app("db", port=False, autorestart=False),
            [db(S.STOPPED, ended=LastExit(Exit(1), 2.0), reason="exited with code 1")],
            ("waits for db: db.1.1 exited with code 1", True),
        ),
        # in the middle of a rollout
        (app("db", version="v2"), [db()], ("waits for db (0 of 1 ready)", False)),
    ],
)
def test_an_app_begins_when_all_instances_of_those_before_it_are_ready(its, instances, expected):
    assert why([its, WEB], *instances).get("web") == expected
    begun = "start web.1 on a free port" in steps([its, WEB], *instances)
    assert begun is (expected is None)


def test_who_waits_for_one_that_waits_says_for_what():
    api = app("api", after=("db",))
    web = app("web", after=("api",))
    assert why([web, api, DB])["web"] == (
        "waits for api, which waits for db (0 of 2 ready)",
        False,
    )
    found = waiting_apps(desired(web, api, DB), world().by_app())
    assert found["web"].apps == ("api", "db")


@pytest.mark.parametrize(
    "mine",
    [
        [one(S.BACKOFF, crashes=2)],  # crashed: it is started again
        [one(S.STARTING)],
        [one()],
    ],
)
def test_once_it_runs_it_is_on_its_own(mine):
    its = app("web", after=("db",), instances=2)
    assert why([DB, its], *mine) == {}
    assert "start web.2 on a free port" in steps([DB, its], *mine)


def test_after_a_boot_apps_begin_in_order_again():
    web, first = after_boot(one(), now=NOW), after_boot(db(), now=NOW)
    alone = app("db")
    assert steps([alone, WEB], web, first) == ["start db.1.1 again"]
    assert steps([alone, WEB], web, db(S.STARTING)) == []
    assert steps([alone, WEB], web, db()) == ["start web.1.1 again"]


# Rollouts


def test_of_changed_apps_the_one_before_is_rolled_out_first():
    changed = [app("db", version="v2"), app("web", version="v2", after=("db",))]
    old = [db(), one()]
    assert steps(changed, *old) == ["start db.1 on a free port"]
    assert steps(changed, *old, db(S.STARTING, version="v2")) == []
    assert why(changed, *old) == {"web": ("waits for db (0 of 1 ready)", False)}
    done = [app("db", version="v2", good="v2"), changed[1]]
    assert steps(done, db(version="v2"), one()) == ["start web.1 on a free port"]
    reverted = [app("db"), changed[1]]
    assert "start web.1 on a free port" in steps(reverted, *old)


def test_a_rollout_that_has_begun_goes_on_whatever_those_before_do():
    changed = [app("db", version="v2"), app("web", version="v2", after=("db",))]
    begun = [db(), one(), one(version="v2")]
    assert "drain web.1.1" in steps(changed, *begun)


def test_a_sick_instance_of_one_before_holds_up_no_rollout():
    sick = [db(), db(S.UNREADY, slot=2), one()]
    changed = app("web", version="v2", after=("db",))
    assert "start web.1 on a free port" in steps([DB, changed], *sick)


def test_a_restart_by_hand_of_both_stops_the_second_only_when_the_first_is_back():
    restarted = [
        app("db", version="v2", abrupt=True),
        app("web", version="v2", abrupt=True, after=("db",)),
    ]
    assert steps(restarted, db(), one()) == ["drain db.1.1"]
    done = [app("db", version="v2", good="v2"), restarted[1]]
    assert "drain web.1.1" in steps(done, db(version="v2"), one())
    between = one(S.GONE)
    sick = db(S.UNREADY, version="v2")
    assert "start web.1 on a free port" in steps(done, sick, between), (
        "it was promised to come back"
    )


# Runs that have to end well before apps begin


def migrate(version="v1", **keys):
    its = app("migrate", version=version, port=False, autorestart=False, **keys)
    return replace(its, must_end=True)


def run(state=S.STOPPED, code=0, version="v1", **fields):
    ended = LastExit(Exit(code), 2.0) if state is S.STOPPED else None
    return one(state, name="migrate", version=version, ended=ended, port=0, **fields)


AFTER = app("web", version="v2", after=("migrate",))


def test_a_run_that_has_to_end_well_is_waited_for_to_its_end():
    new = app("web", good=None, after=("migrate",))
    assert why([migrate(good=None), new], run(S.READY)) == {
        "web": ("waits for migrate to end", False)
    }
    assert "start web.1 on a free port" in steps([migrate(), new], run())
    assert why([migrate("v2"), AFTER], run(), run(S.READY, version="v2"), one()).keys() == {"web"}
    its = migrate("v2")
    assert app_state(its, [run(), run(S.READY, version="v2")]) == "running"
    assert app_state(its, [run(version="v2")]) == "stopped"
    seen = world(run(), run(S.READY, version="v2"), one(), knows=[its, AFTER])
    state = progress(desired(its, AFTER), seen, ["migrate"], generation="g1", waited=9)
    assert state.waiting == ("migrate: running",)


def test_there_is_one_run_at_a_time():
    its, still = migrate("v3"), run(S.READY, version="v2")
    assert steps([its], run(), still) == []
    assert steps([its], run(), replace(still, state=S.DRAINING)) == []
    assert steps([its], run()) == ["start migrate.1 on a free port"]


def test_after_a_run_that_failed_the_versions_before_keep_running():
    seed = replace(migrate("v2", after=("migrate",)), name="seed")
    later = app("later", version="v2", after=("api",))
    apps = [migrate("v2"), seed, AFTER, app("api", version="v2", after=("seed",)), later]
    here = [run(), one(), *(one(name=name) for name in ("api", "later"))]
    here += [replace(run(), id="seed.1.1", app="seed")]
    failed = run(code=1, version="v2", reason="exited with code 1")
    expected = [
        f"roll back {name} to the previous version" for name in ("seed", "web", "api", "later")
    ]
    assert steps(apps, *here, failed)[:4] == expected
    assert "roll back migrate to the previous version" not in steps(apps, *here, failed)
    done = [apps[0], *(replace(each, good="v2") for each in apps[1:])]
    assert "roll back migrate to the previous version" in steps(done, *here, failed)


def test_a_rollout_that_has_begun_after_a_run_is_on_its_own():
    failed = run(code=1, version="v3", reason="exited with code 1")
    assert "roll back migrate to the previous version" in steps(
        [migrate("v3"), AFTER], run(), failed, one(version="v2")
    )


# nginx


def test_sites_of_others_do_not_wait_for_an_app_that_is_stuck():
    first = app("db", good=None)
    waiting = app("web", good=None, after=("db",))
    other = app("other")
    here = [db(S.BACKOFF, crashes=1, retry_at=NOW + 9), one(name="other")]
    assert "switch nginx to the new configuration" in steps(
        [first, waiting, other], *here, nginx=NOTHING
    )
    starting = [db(S.STARTING), one(name="other")]
    assert steps([first, waiting, other], *starting, nginx=NOTHING) == []


# Ending


def removed(*apps):
    return {each.name: each for each in apps}


def test_at_down_apps_end_in_the_other_direction():
    file = removed(app("cache"), app("db", after=("cache",)), app("web", after=("db",)))
    nothing = desired(removed_apps=file)
    cache = one(name="cache")

    def left(*instances, wanted=nothing):
        seen = world(*instances, nginx=NOTHING, endpoints={})
        return [s for s in said(plan(wanted, seen)) if s.startswith(("drain", "stop"))]

    assert left(cache, db(), one()) == ["drain web.1.1"]
    assert left(cache, db(), one(S.STOPPING)) == []
    assert left(cache, db()) == ["drain db.1.1"]
    assert left(cache, one()) == ["drain web.1.1"], "also where none is left between them"
    assert left(cache) == ["drain cache.1.1"]
    hurried = replace(nothing, at_once=True)
    assert sorted(left(cache, db(), one(), wanted=hurried)) == [
        "drain cache.1.1",
        "drain db.1.1",
        "drain web.1.1",
    ]


def test_apps_that_are_stopped_together_stop_in_the_other_direction_and_one_alone_at_once():
    both = [app("db", stopped=True), app("web", stopped=True, after=("db",))]
    assert steps(both, db(), one()) == ["drain web.1.1"]
    crashed = db(S.BACKOFF, crashes=1)
    assert steps(both, crashed, one(S.STOPPING)) == [], "what is to end is not started again"
    assert "drain db.1.1" in steps(both, db())
    alone = [app("db", stopped=True), WEB]
    assert "drain db.1.1" in steps(alone, db(), one())


# In words


def test_who_waits_for_an_up_hears_what_it_waits_for_and_what_is_wrong():
    def heard(its, *instances, apps=("db", "web"), waited=0.0):
        seen = world(*instances, knows=[its, WEB], nginx=SERVING)
        wanted = desired(its, app("web", good=None, after=("db",)))
        return progress(wanted, seen, apps, generation="g1", waited=waited)

    first = app("db", good=None)
    assert heard(first, db(S.STARTING)).waiting == (
        "db: 0 of 1 ready",
        "web waits for db (0 of 1 ready)",
    )
    broken = db(S.BACKOFF, crashes=3, reason="exited with code 1")
    assert heard(first, broken).failed == (
        "db.1.1 exited with code 1; Portico continues to restart it",
        "web waits for db: db.1.1 exited with code 1",
    )
    assert heard(first, broken, apps=["web"]).failed == (
        "web waits for db: db.1.1 exited with code 1",
    )
    assert heard(app("db", stopped=True), apps=["web"]).failed == (
        "web waits for db, which is stopped (`portico start db`)",
    )


def test_an_app_that_has_not_begun_is_waiting():
    assert app_state(WEB, [], waits=True) == "waiting"
    assert app_state(WEB, [one()], waits=True) == "ready"


# Whatever the order is, and whatever happens

NAMES = ("a", "b", "c", "d", "e")


@st.composite
def files(draw):
    """Apps in a random order, each after some of those before it; few of them cannot run."""
    names = draw(st.permutations(NAMES))
    return {
        name: (
            App(
                command="run",
                port=draw(st.sampled_from([None, False])),
                instances=draw(st.integers(1, 2)),
                wait_ready=draw(st.booleans()),
                after=tuple(draw(st.sets(st.sampled_from(names[:at])))) if at else (),
                ready_timeout=6,
                stop_timeout=3,
                drain_timeout=2,
                backoff_limit=2,
            ),
            draw(st.sampled_from([GOOD, GOOD, GOOD, SLOW, CRASHING])),
        )
        for at, name in enumerate(names)
    }


troubles = st.lists(
    st.tuples(
        st.sampled_from(["tick", "tick", "lose the daemon", "crash", "boot"]), st.integers(0, 9)
    ),
    max_size=12,
)


@examples(15)
@given(files(), troubles, troubles, st.booleans())
def test_all_that_can_begin_does_in_order_and_all_ends_in_the_other(file, first, last, stop):
    """That nothing begins or ends too early is asserted by the machine, at every step."""
    with Machine() as machine:
        play(machine, file, first, last, stop=stop)


def play(machine, file, first, last, *, stop):
    for name, (its, program) in file.items():
        machine.up(name, its, f"{name}1", program)
    suffer(machine, first)
    wanted = {name: its.instances for name, (its, _) in file.items() if can_run(name, file)}
    until(machine, lambda: all(ready(machine, name) == n for name, n in wanted.items()))
    machine.boot()
    until(machine, lambda: all(ready(machine, name) == n for name, n in wanted.items()))
    for name, (its, _) in file.items():
        begun = all(can_run(before, file) for before in its.after)
        assert begun or not machine.of(name)
        assert name in wanted or not ready(machine, name)
    for name in NAMES if stop else ():
        machine.set_stopped(name, stopped=True)
    if not stop:
        machine.down(at_once=False)
    suffer(machine, last)
    until(machine, lambda: not machine.instances)


def can_run(name, file):
    its, program = file[name]
    return program is not CRASHING and all(can_run(before, file) for before in its.after)


def ready(machine, name):
    return len({i.slot for i in machine.in_state(S.READY, name)})


def until(machine, come_true, seconds=120):
    end = machine.now + seconds
    while not come_true():
        assert machine.now < end, machine.instances
        machine.run(0.5)


def suffer(machine, events):
    for kind, number in events:
        running = list(machine.processes.values())
        if kind == "tick":
            machine.tick(number / 5)
        elif kind == "crash" and running:
            machine.crash(running[number % len(running)])
        elif kind == "boot":
            machine.boot()
        elif kind == "lose the daemon":
            machine.lose_daemon()
            machine.begin()
        for _ in range(number % 4):
            machine.step()
