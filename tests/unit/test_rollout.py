"""One round at a time: who is started and who is drained, from how the slots are filled."""

from __future__ import annotations

import pytest

from portico.core.model.instance import InstanceState
from portico.core.planning.rollout import is_rolled_out, ready_slots, rollout
from tests.unit.worlds import NOW, app, one, rolled_back, said, why

S = InstanceState
GOING = [S.DRAINING, S.STOPPING]


def steps(its, *instances):
    return said(rollout(its, instances, NOW))


def new(state=S.READY, **fields):
    return one(state, version="v2", **fields)


def pinned(slot, state=S.READY, *, version="v1", first=3000, **fields):
    return one(state, slot=slot, version=version, port=first + slot - 1, **fields)


# How many


def test_every_wanted_slot_that_is_empty_gets_an_instance_at_once():
    assert steps(app(instances=3), one(slot=2)) == [
        "start web.1 on a free port",
        "start web.3 on a free port",
    ]


def test_pinned_ports_follow_each_other():
    assert steps(app(instances=2, port=3000)) == [
        "start web.1 on port 3000",
        "start web.2 on port 3001",
    ]


def test_whoever_is_there_already_is_left_to_get_on_with_it():
    busy = [one(state, slot=n) for n, state in enumerate((S.STARTING, S.BACKOFF, S.UNREADY), 1)]
    ended = one(S.STOPPED, slot=4), one(S.FAILED, slot=5)
    assert steps(app(instances=5), *busy, *ended) == []


def test_a_place_is_taken_again_while_who_had_it_still_leaves():
    assert steps(app(), one(S.DRAINING)) == ["start web.1 on a free port"]


@pytest.mark.parametrize("state", GOING)
def test_a_pinned_port_is_waited_for_until_its_process_has_ended(state):
    assert steps(app(port=3000), pinned(1, state)) == []
    assert steps(app(port=3000), pinned(1, S.GONE)) == ["start web.1 on port 3000"]


def test_a_program_that_cannot_run_twice_is_stopped_before_its_successor_starts():
    its = app(version="v2", replace_order="stop_first")
    assert steps(its, one()) == ["drain web.1.1"]
    assert steps(its, one(S.DRAINING)) == steps(its, one(S.STOPPING)) == []
    assert steps(its, one(S.GONE)) == ["start web.1 on a free port"]
    assert steps(its, new()) == []
    assert steps(its, one(), new(S.STARTING, serial=2)) == ["drain web.1.1"]


def test_several_that_cannot_run_twice_are_replaced_one_after_the_other():
    its = app(version="v2", instances=2, replace_order="stop_first")
    assert steps(its, one(), one(slot=2)) == ["drain web.1.1"]
    assert steps(its, one(S.STOPPING), one(slot=2)) == []
    assert steps(its, new(S.STARTING), one(slot=2)) == []
    assert steps(its, new(), one(slot=2)) == ["drain web.2.2"]


def test_slots_beyond_those_wanted_are_drained():
    assert steps(app(instances=1), one(slot=1), one(slot=2), one(S.BACKOFF, slot=3)) == [
        "drain web.2.2",
        "drain web.3.3",
    ]
    assert why(rollout(app(instances=1), [one(), one(slot=2)], NOW)) == ["scaled to 1"]


def test_a_scale_down_keeps_one_that_serves_until_a_slot_that_stays_does():
    crashed, others = one(S.BACKOFF), [one(slot=2), one(slot=3)]
    assert steps(app(instances=1), crashed, *others) == ["drain web.2.2"]
    assert steps(app(instances=1), one(), others[1]) == ["drain web.3.3"]


def test_one_that_does_not_serve_takes_nobody_of_its_slot_with_it():
    crashed, both = one(S.BACKOFF), [one(S.STARTING, slot=2), one(slot=2, serial=7)]
    assert steps(app(instances=1), crashed, *both) == ["drain web.2.2"]


def test_a_scale_down_to_slots_that_get_no_requests_keeps_nobody():
    down = app(instances=1, slots={"1": {"down": True}})
    assert steps(down, one(), one(slot=2)) == ["drain web.2.2"]


def test_a_stopped_app_is_drained_as_a_whole():
    stopped = app(instances=2, stopped=True)
    both = one(slot=1), one(S.BACKOFF, slot=2)
    assert steps(stopped, *both) == ["drain web.1.1", "drain web.2.2"]
    assert set(why(rollout(stopped, both, NOW))) == {"stopped by hand"}


# Automatic ports


def test_a_new_instance_starts_beside_the_old_one():
    its = app(version="v2")
    assert steps(its, one()) == ["start web.1 on a free port"]
    assert why(rollout(its, [one()], NOW)) == ["the version has changed"]


def test_an_instance_is_drained_only_after_its_successor_is_ready():
    its = app(version="v2")
    for state in (S.STARTING, S.BACKOFF, S.FAILED, S.UNREADY):
        assert steps(its, one(), new(state)) == []
    assert steps(its, one(), new()) == ["drain web.1.1"]


@pytest.mark.parametrize(
    ("batch", "started"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (9, [1, 2, 3, 4])]
)
def test_a_rollout_begins_with_a_batch(batch, started):
    old = [one(slot=n) for n in range(1, 5)]
    its = app(version="v2", instances=4, batch=batch)
    assert steps(its, *old) == [f"start web.{n} on a free port" for n in started]


def test_the_next_slot_begins_when_one_of_the_batch_is_ready():
    its = app(version="v2", instances=4, batch=2)
    old = [one(slot=n) for n in range(1, 5)]
    assert steps(its, *old, new(S.STARTING), new(S.STARTING, slot=2)) == []
    assert steps(its, *old, new(S.STARTING), new(slot=2)) == [
        "drain web.2.2",
        "start web.3 on a free port",
    ]


def test_a_slot_in_which_nobody_serves_is_replaced_at_once_and_holds_the_others_up():
    its = app(version="v2", instances=3)
    old = one(slot=1), one(slot=2), one(S.FAILED, slot=3)
    assert steps(its, *old) == ["start web.3 on a free port"]
    assert steps(its, *old, new(slot=3)) == ["start web.1 on a free port", "drain web.3.3"]


def test_a_rollout_that_also_scales_up_fills_the_new_slots_first():
    its = app(version="v2", instances=3)
    assert steps(its, one(slot=1), one(slot=2)) == ["start web.3 on a free port"]


def test_a_worker_is_replaced_in_the_same_way():
    its = app(version="v2", port=False)
    assert steps(its, one(port=0)) == ["start web.1 on a free port"]
    assert steps(its, one(port=0), new(port=0)) == ["drain web.1.1"]


def test_a_worn_instance_is_replaced_by_one_of_the_same_version():
    worn = one(worn="it reached its max_age")
    assert why(rollout(app(), [worn], NOW)) == ["it reached its max_age"]
    assert steps(app(), worn, one(serial=2)) == ["drain web.1.1"]


@pytest.mark.parametrize("keys", [{}, {"replace_order": "stop_first"}, {"port": 3000}])
def test_without_the_turn_of_its_machine_a_rollout_ends_what_it_began_and_begins_no_more(keys):
    def held(*instances):
        return said(rollout(its, instances, NOW, may_replace=False))

    its = app(version="v2", instances=3, **keys)
    old = pinned(1), pinned(2), pinned(3)
    assert steps(its, *old)
    assert held(*old) == []
    assert held(*old, one(S.DRAINING, slot=3, serial=9)) == []
    [start] = held(*old[:2])
    assert start.startswith("start web.3 on")
    worn = one(slot=3, port=3002, worn="it reached its max_age")
    assert held(*old[:2], worn)


# Pinned ports


def test_with_pinned_ports_the_old_instance_leaves_first_while_the_others_serve():
    its = app(version="v2", instances=3, port=3000)
    assert steps(its, pinned(1), pinned(2), pinned(3)) == ["drain web.1.1"]


@pytest.mark.parametrize("state", GOING)
def test_the_next_pinned_slot_waits_until_the_one_before_is_ready_on_its_port(state):
    its = app(version="v2", instances=3, port=3000)
    others = pinned(2), pinned(3)
    assert steps(its, pinned(1, state), *others) == []
    assert steps(its, pinned(1, S.GONE), *others) == ["start web.1 on port 3000"]
    assert steps(its, pinned(1, S.STARTING, version="v2"), *others) == []
    assert steps(its, pinned(1, version="v2"), *others) == ["drain web.2.2"]


def test_a_batch_as_large_as_the_app_still_leaves_one_slot_serving():
    its = app(version="v2", instances=3, port=3000, batch=3)
    drained = steps(its, pinned(1), pinned(2), pinned(3))
    assert drained == [
        "drain web.1.1",
        "drain web.2.2",
        "start web.3 on a free port",
    ]


def test_a_single_pinned_port_changes_hands_behind_a_stand_in():
    its, old = app(version="v2", port=3000), pinned(1)
    stand_in, at_home = new(), new(S.STARTING, serial=12, port=3000)
    assert steps(its, old) == ["start web.1 on a free port"]
    assert steps(its, old, new(S.STARTING)) == []
    assert steps(its, old, stand_in) == ["drain web.1.1"]
    assert steps(its, pinned(1, S.DRAINING), stand_in) == []
    assert steps(its, stand_in) == ["start web.1 on port 3000"]
    assert steps(its, stand_in, at_home) == []
    assert steps(its, stand_in, new(serial=12, port=3000)) == ["drain web.1.11"]


@pytest.mark.parametrize("other", [pinned(2, S.BACKOFF), pinned(2, S.STARTING)])
def test_a_slot_that_does_not_serve_stands_in_for_nobody(other):
    its = app(version="v2", instances=2, port=3000, batch=2)
    assert "start web.1 on a free port" in steps(its, pinned(1), other)


def test_a_slot_that_is_down_stands_in_for_nobody_and_needs_nobody():
    its = app(version="v2", instances=2, port=3000, batch=2, slots={"2": {"down": True}})
    assert steps(its, pinned(1), pinned(2)) == ["start web.1 on a free port", "drain web.2.2"]
    whole = app(version="v2", port=3000, down=True)
    assert steps(whole, pinned(1)) == ["drain web.1.1"]


def test_a_pinned_slot_in_which_nobody_serves_is_emptied_at_once():
    its = app(version="v2", instances=2, port=3000)
    assert steps(its, pinned(1), pinned(2, S.FAILED)) == ["drain web.2.2"]


def test_other_pinned_ports_are_taken_beside_the_old_ones_a_batch_at_a_time():
    its = app(version="v2", instances=2, port=4000)
    assert steps(its, pinned(1), pinned(2)) == ["start web.1 on port 4000"]


def test_a_port_that_another_slot_still_has_is_waited_for():
    its = app(version="v2", instances=2, port=3001)
    assert steps(its, pinned(1), pinned(2)) == ["start web.2 on port 3002"]
    moved = pinned(2, version="v2", first=3001)
    assert steps(its, pinned(1), pinned(2), moved) == ["drain web.2.2"]
    assert steps(its, pinned(1), moved) == ["start web.1 on port 3001"]


def test_a_slot_that_waits_for_the_port_of_another_does_not_hold_the_others_up():
    its = app(version="v2", instances=3, port=3000)
    moved_down = pinned(1, first=3001), pinned(2, first=3001)
    assert steps(its, *moved_down) == ["start web.1 on port 3000"]


def test_a_port_that_a_slot_beyond_those_wanted_has_is_freed_behind_a_stand_in():
    its = app(version="v2", port=3001)
    crashed, holder = pinned(1, S.BACKOFF), pinned(2)
    assert steps(its, crashed, holder) == ["start web.1 on a free port"]
    assert steps(its, crashed, holder, new()) == ["drain web.2.2"]


def test_a_version_that_is_wanted_again_keeps_the_ports_it_had():
    assert steps(rolled_back({"port": 3000}, {"port": 4000}), pinned(1)) == []


# By hand


def test_a_restart_stops_the_old_instances_before_it_starts_new_ones():
    its = app(version="v2", instances=2, abrupt=True)
    assert steps(its, one(slot=1), one(S.STARTING, slot=2)) == ["drain web.1.1", "drain web.2.2"]
    assert steps(its, one(S.STOPPING), one(S.GONE, slot=2)) == ["start web.2 on a free port"]


def test_a_restart_takes_what_is_beyond_those_wanted_with_it():
    its = app(version="v2", port=3001, abrupt=True)
    assert steps(its, pinned(1), pinned(2)) == ["drain web.1.1", "drain web.2.2"]
    assert steps(its, pinned(1, S.GONE), pinned(2, S.STOPPING)) == []


# When it is over


def test_a_rollout_is_over_when_every_slot_is_ready_and_nothing_older_serves():
    its = app(version="v2", instances=2)
    assert is_rolled_out(its, [new(), new(slot=2), one(S.DRAINING)])
    assert not is_rolled_out(its, [new(), new(slot=2), one()])
    assert not is_rolled_out(its, [new(), new(S.STARTING, slot=2)])


def test_neither_a_stand_in_nor_a_slot_that_leaves_counts_as_ready():
    assert ready_slots(app(port=3000), [one()]) == set()
    assert ready_slots(app(port=3000), [pinned(1)]) == {1}
    assert ready_slots(app(instances=2), [one(), one(slot=3)]) == {1}
