"""How what is not wanted any more leaves: a table of times, and the order when all goes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.instance import Instance, InstanceState, Process
from portico.core.model.names import InstanceId
from portico.core.model.world import Endpoint, NginxSeen, World
from portico.core.planning.reconcile import plan, wake_at
from portico.core.planning.steps import Drain, Publish, Stop, StopNginx, UpgradeNginx
from portico.core.planning.teardown import STOP_SPREAD, drain_limit, drained_at

S = InstanceState
NOW = 1000.0
WEB = App(command="run", drain_timeout=20)
KEYS = {"web": WEB, "worker": App(command="run", port=False)}


def instance(slot: int = 1, app: str = "web", state: InstanceState = S.READY, **keys) -> Instance:
    name = InstanceId(f"{app}.{slot}.1")
    port = 41000 + slot if KEYS[app].listens else 0
    return Instance(
        name, app, slot, "v1", port, state, **{"since": NOW, "process": Process(7, 7.0), **keys}
    )


RUNS = NginxSeen(1)


def world_of(*instances: Instance, nginx: NginxSeen = RUNS, **keys) -> World:
    ready = [i for i in instances if i.state is S.READY and i.port]
    handed_out = tuple(Endpoint(i.slot, i.id, i.port) for i in ready)
    known = {i.id: i for i in instances}
    return World(NOW, known, **{"endpoints": {"web": handed_out}, "nginx": nginx, **keys})


def kinds(steps: tuple[object, ...]) -> set[str]:
    return {type(step).__name__ for step in steps}


def removed(**apps: App) -> dict[str, DesiredApp]:
    return {
        name: DesiredApp(name, 0, Spec("v1", name, app, "/", {})) for name, app in apps.items()
    }


GOING = Desired(removed_apps=removed(web=WEB))
"""After `portico down`."""


@pytest.mark.parametrize(
    ("slot", "seconds"),
    [(1, 40.0), (2, 35.0), (3, 37.5), (4, 32.5), (5, 38.75), (6, 33.75), (7, 36.25), (8, 31.25)],
)
def test_slots_that_begin_to_drain_together_end_one_after_the_other(slot, seconds):
    assert drain_limit(slot, 40.0) == seconds


@given(st.integers(1, 1000), st.floats(0, 86400))
def test_no_slot_drains_longer_than_the_file_allows(slot, timeout):
    assert timeout * (1 - STOP_SPREAD) <= drain_limit(slot, timeout) <= timeout


@given(st.integers(2, 300))
def test_of_many_slots_no_two_end_together_and_no_part_of_the_time_is_crowded(count):
    ends = sorted(drain_limit(slot, 1.0) for slot in range(1, count + 1))
    gaps = [later - sooner for sooner, later in pairwise(ends)]
    assert min(gaps) >= STOP_SPREAD / (2 * count)


@pytest.mark.parametrize(("waited", "stops"), [(14.9, False), (15.1, False), (17.6, True)])
def test_a_connection_holds_a_drain_until_the_time_of_its_slot_is_over(waited, stops):
    app = DesiredApp("web", 1, Spec("v1", "web", WEB, "/", {}))
    i = instance(2, state=S.DRAINING, since=NOW - waited)
    world = world_of(i, settled=frozenset({i.id}), connections={i.id: 3})
    steps = plan(Desired(apps={"web": app}), world, generation="")
    assert [step.why for step in steps if isinstance(step, Stop)] == (
        ["it still has connections after 17.5s"] if stops else []
    )
    if not stops:
        assert wake_at(Desired(apps={"web": app}), world) == NOW - waited + 17.5


def test_nginx_leaves_first_and_the_instances_answer_what_it_still_has():
    steps = plan(GOING, world_of(instance(1), instance(2), nginx=NginxSeen(1, live="g")))
    assert steps == (StopNginx(graceful=True, why="no site or stream is configured"),)


def test_a_worker_has_nothing_to_do_with_nginx_and_leaves_at_once():
    worker = instance(1, "worker")
    steps = plan(Desired(removed_apps=removed(**KEYS)), world_of(worker, instance(2)))
    assert [step.instance for step in steps if isinstance(step, Drain)] == [worker.id]


@pytest.mark.parametrize("state", [S.STARTING, S.BACKOFF, S.FAILED, S.STOPPED])
def test_what_answers_nothing_leaves_at_once(state):
    i = instance(1, state=state)
    assert [s.instance for s in plan(GOING, world_of(i)) if isinstance(s, Drain)] == [i.id]


def test_the_instances_leave_when_nginx_has_gone():
    world = world_of(instance(1), instance(2), nginx=NginxSeen(None))
    assert kinds(plan(GOING, world)) == {"Drain", "Publish"}


@pytest.mark.parametrize(("waited", "drains"), [(14.9, []), (17.6, [2]), (20.0, [1, 2])])
def test_each_instance_leaves_when_nginx_has_had_its_time_to_drain(waited, drains):
    nginx = NginxSeen(1, leaving=NOW - waited, busy=True)
    steps = plan(GOING, world_of(instance(1), instance(2), nginx=nginx))
    assert [int(s.instance.split(".")[1]) for s in steps if isinstance(s, Drain)] == drains
    published = [e.slot for s in steps if isinstance(s, Publish) for e in s.endpoints]
    assert published == ([1] if drains == [2] else [])


def test_the_time_that_nginx_has_had_counts_for_a_drain_that_begins_late():
    nginx = NginxSeen(1, leaving=NOW - 20, busy=True)
    i = instance(1, state=S.DRAINING)
    world = world_of(i, nginx=nginx, settled=frozenset({i.id}), connections={i.id: 1})
    assert drained_at(i, GOING, world) == NOW
    assert [s.why for s in plan(GOING, world) if isinstance(s, Stop)] == [
        "it still has connections after 20s"
    ]


def test_in_a_hurry_nothing_waits_for_anything():
    at_once = replace(GOING, at_once=True)
    world = world_of(instance(1), nginx=NginxSeen(1, live="g"))
    steps = plan(at_once, world)
    assert kinds(steps) == {"StopNginx", "Drain", "Publish"}
    assert StopNginx(graceful=False, why="no site or stream is configured") in steps
    i = instance(1, state=S.DRAINING)
    assert kinds(plan(at_once, world_of(i, endpoints={"web": ()}))) >= {"Stop"}


def test_an_app_taken_out_of_the_file_ends_by_the_keys_it_had():
    i = instance(1, state=S.STOPPING, since=NOW - 3)
    quick = replace(GOING, removed_apps=removed(web=App(command="run", stop_timeout=2)))
    assert "Kill" in kinds(plan(quick, world_of(i)))
    assert "Kill" not in kinds(plan(GOING, world_of(i)))


@pytest.mark.parametrize(
    ("limit", "told", "kills"), [(10, 0.9, False), (10, 1.1, True), (0, 0, True)]
)
def test_in_a_hurry_a_program_is_killed_a_second_after_its_signal(limit, told, kills):
    i = instance(1, state=S.STOPPING, since=NOW - told)
    at_once = Desired(
        removed_apps=removed(web=App(command="run", stop_timeout=limit)), at_once=True
    )
    world = world_of(i, endpoints={})
    assert ("Kill" in kinds(plan(at_once, world))) is kills
    if not kills:
        assert wake_at(at_once, world) == i.since + 1


WANTED = Desired(apps={"web": DesiredApp("web", 1, Spec("v1", "web", WEB, "/", {}), "v1")})


@pytest.mark.parametrize(
    ("nginx", "upgrade", "yields"),
    [
        (NginxSeen(1, live="g"), False, False),
        (NginxSeen(1, live="g", outdated=True), False, False),
        (NginxSeen(1, live="g"), True, True),
        (NginxSeen(1, live="g", busy=True), True, False),
        (NginxSeen(None, live="g"), True, False),
        (NginxSeen(1, live="old"), True, True),
        (NginxSeen(1, live="", is_upgrade_interrupted=True), False, True),
    ],
)
def test_nginx_is_replaced_when_it_was_asked_for_or_was_begun(nginx, upgrade, yields):
    """A new file on disk alone is no reason."""
    desired = replace(WANTED, upgrade=upgrade)
    steps = plan(desired, world_of(instance(), nginx=nginx), generation="g")
    assert any(isinstance(step, UpgradeNginx) for step in steps) == yields
    assert len([s for s in steps if "Nginx" in type(s).__name__ or "Switch" in str(s)]) <= 1


def test_nginx_is_not_replaced_before_discovery_knows_what_to_answer():
    world = world_of(instance(), nginx=NginxSeen(1, live="g"), endpoints={})
    steps = plan(replace(WANTED, upgrade=True), world, generation="g")
    assert kinds(steps) == {"Publish"}
