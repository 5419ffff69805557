"""How many programs are started at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.app import App
from portico.core.model.desired import DesiredApp, Spec
from portico.core.model.instance import InstanceState, Process
from portico.core.model.world import World
from portico.core.planning.lifecycle import after_spawn
from portico.core.planning.pace import START_ALLOWANCE
from portico.core.planning.preview import outcome
from portico.core.planning.reconcile import plan, wake_at
from portico.core.planning.steps import Respawn, StartInstance
from tests.unit.worlds import NOW, app, desired, one, world

S = InstanceState


def starts(its: DesiredApp, seen: World) -> list[StartInstance | Respawn]:
    found = plan(desired(its), seen, generation="g1")
    return [step for step in found if isinstance(step, StartInstance | Respawn)]


def starting(count: int, *, for_seconds: float = 0.0, **fields):
    return [one(S.STARTING, slot=n + 1, spawned=NOW - for_seconds, **fields) for n in range(count)]


@pytest.mark.parametrize(
    ("begun", "most", "now"),
    [(0, 8, 8), (0, 200, 100), (5, 8, 3), (8, 8, 0), (20, 8, 0), (0, None, 100)],
)
def test_new_instances_begin_only_as_many_at_a_time_as_the_machine_has_room_for(begun, most, now):
    its = app(instances=100, good=None)
    found = starts(its, world(*starting(begun), knows=[its], most_starting=most))
    assert len(found) == min(now, 100 - begun)


def test_a_start_that_takes_long_gives_its_place_away_and_the_loop_wakes_for_that():
    its = app(instances=100, good=None)
    seen = world(*starting(8), knows=[its], most_starting=8)
    assert starts(its, seen) == []
    assert wake_at(desired(its), seen) == NOW + START_ALLOWANCE
    assert len(starts(its, replace(seen, now=NOW + START_ALLOWANCE))) == 8


def test_an_instance_that_is_ready_gives_its_place_away():
    its = app(instances=100, good=None)
    ready = [replace(i, state=S.READY) for i in starting(8)]
    assert len(starts(its, world(*ready, knows=[its], most_starting=8))) == 8


def test_what_has_crashed_is_never_put_off_by_what_is_new():
    its = app(instances=100, good=None)
    crashed = one(S.BACKOFF, slot=100, retry_at=NOW, process=None)
    seen = world(*starting(20), crashed, knows=[its], most_starting=8)
    assert [step.instance for step in starts(its, seen)] == [crashed.id]


def test_after_a_boot_of_the_machine_all_come_back_a_few_at_a_time():
    its = app(instances=100)
    crashed = [one(S.BACKOFF, slot=n + 1, retry_at=NOW, process=None) for n in range(100)]
    seen = world(*crashed, knows=[its], most_starting=8)
    first = starts(its, seen)
    assert len(first) == 8
    for step in first:
        again = after_spawn(seen.instances[step.instance], Process(1, 1.0), now=NOW)
        seen = replace(seen, instances={**seen.instances, again.id: again})
    assert starts(its, seen) == []


def test_a_program_whose_time_has_come_is_not_put_off():
    clean = App(command="clean", port=False, schedule="@daily")
    its = DesiredApp("clean", 1, Spec("v1", "clean", clean, "/srv", {}), "v1")
    others = starting(20)
    seen = world(*others, knows=[its], most_starting=8, due=frozenset({"clean"}))
    assert [step.app for step in starts(its, seen)] == ["clean"]


@given(st.integers(1, 9), st.integers(0, 40))
def test_all_are_started_in_the_end_however_few_at_a_time(most, instances):
    its = app(instances=max(1, instances), good=None)
    wanted, seen = desired(its), world(knows=[its], most_starting=most)
    for _ in range(200):
        steps = plan(wanted, seen, generation="g1")
        assert sum(isinstance(step, StartInstance) for step in steps) <= most
        if not steps:
            break
        wanted, seen = outcome(steps, wanted, seen)
    assert len(seen.instances) == its.instances
