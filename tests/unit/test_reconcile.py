"""What is planned in one round, rule by rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portico.core.model.instance import Exit, InstanceState
from portico.core.model.world import NginxSeen
from portico.core.planning.lifecycle import after_exit, after_kill
from portico.core.planning.reconcile import GATHER_TIME, START_WAIT, plan, wake_at
from portico.core.planning.steps import Respawn, Revert
from tests.unit.worlds import NOW, SERVING, app, desired, one, planned, said, why, world

S = InstanceState
OLD_GENERATION = NginxSeen(pid=81, generation=1, live="g0")


def rounds(its, seen, generation="g1"):
    return said(plan(desired(*its), seen, generation=generation))


# From nothing to serving


def test_at_first_instances_are_started_and_discovery_learns_the_app():
    assert rounds([app(good=None, instances=2)], world(nginx=NginxSeen())) == [
        "start web.1 on a free port",
        "start web.2 on a free port",
        "publish slots none of web",
    ]


def test_a_ready_instance_is_handed_out_before_nginx_hears_of_its_site():
    its, nothing = app(good=None), NginxSeen()
    starting = world(one(S.STARTING), endpoints={"web": ()}, nginx=nothing)
    ready = world(one(), endpoints={"web": ()}, nginx=nothing)
    assert rounds([its], starting) == []
    assert rounds([its], ready) == [
        "publish slots 1 of web",
        "mark this version of web as good",
    ]
    assert rounds([app()], world(one(), knows=[its], nginx=nothing)) == [
        "switch nginx to the new configuration"
    ]


def test_when_all_is_as_wanted_nothing_is_done():
    its = app(instances=2)
    assert planned(its, one(slot=1), one(slot=2)) == []


def test_a_new_daemon_hands_out_again_what_runs():
    assert rounds([app()], world(one(), nginx=SERVING)) == ["publish slots 1 of web"]


# nginx


def switched(its, *instances, **fields) -> bool:
    seen = world(*instances, **{"knows": [its], "nginx": OLD_GENERATION, **fields})
    return "switch nginx to the new configuration" in rounds([its], seen)


def test_nginx_waits_for_the_first_instance_of_a_new_app():
    its = app(good=None, instances=2)
    assert not switched(its)
    assert not switched(its, one(S.STARTING))
    assert not switched(its, one(), endpoints={"web": ()})
    assert switched(its, one())


def test_nginx_waits_a_moment_for_those_that_start_together_with_the_first_one():
    its, starting = app(good=None, instances=2), one(S.STARTING, slot=2)
    assert not switched(its, one(), starting)
    assert switched(its, one(), one(slot=2))
    assert switched(its, one(), replace(starting, crashes=1))
    assert switched(its, one(since=NOW - GATHER_TIME), starting)
    assert wake_at(desired(its), world(one(), starting)) == NOW + GATHER_TIME


@pytest.mark.parametrize(
    "hopeless",
    [one(S.BACKOFF, crashes=1), one(S.STARTING, crashes=1), one(S.STOPPED), one(S.FAILED)],
)
def test_nginx_does_not_wait_for_an_app_that_does_not_come_up(hopeless):
    assert switched(app(good=None), hopeless)


@pytest.mark.parametrize(
    "its",
    [
        app(stopped=True),
        app(down=True),
        app(port=False),
        app(instances=2, slots={"1": {"down": True}, "2": {"down": True}}),
    ],
)
def test_nginx_does_not_wait_for_an_app_that_gets_no_requests(its):
    assert switched(its)


def test_one_slow_app_holds_up_the_generation_for_all():
    web, api = app(), app("api", good=None)
    seen = world(one(), knows=[web, api], nginx=OLD_GENERATION)
    assert "switch nginx to the new configuration" not in rounds([web, api], seen)


def test_a_generation_that_nginx_refused_is_not_tried_again_by_itself():
    assert not switched(app(), one(), nginx=replace(OLD_GENERATION, refused="g1"))


def test_a_dead_nginx_is_started_again():
    dead = replace(SERVING, pid=None)
    assert planned(app(), one(), nginx=dead) == ["start nginx"]


def test_a_dead_nginx_serves_what_it_did_until_the_new_generation_may():
    dead, its = replace(OLD_GENERATION, pid=None), app(good=None)
    waiting = world(one(S.STARTING), knows=[its], nginx=dead)
    assert rounds([its], waiting) == ["start nginx"]
    assert switched(its, one(), nginx=dead)


@pytest.mark.parametrize("state", [S.BACKOFF, S.STARTING])
def test_an_nginx_that_ended_with_all_instances_waits_for_the_first_that_is_ready(state):
    """It would answer 502 until then, and for up to a second more."""
    its, dead = app(instances=2), replace(SERVING, pid=None)

    def starts(*instances, now: float = NOW) -> bool:
        seen = world(*instances, knows=[its], nginx=dead, now=now)
        return "start nginx" in said(plan(desired(its), seen, generation="g1"))

    returning = one(state, slot=2, retry_at=NOW)
    assert not starts(returning)
    assert starts(one(), one(slot=2))
    assert not starts(one(), returning)  # those that start together with it
    assert starts(one(since=NOW - GATHER_TIME), returning)
    assert starts(replace(returning, crashes=1))
    assert starts(returning, now=NOW + START_WAIT)
    late = one(S.STARTING, slot=1, since=NOW + 9)  # starts are paced
    assert starts(late, returning, now=NOW + START_WAIT)
    assert wake_at(desired(its), world(returning, nginx=dead)) == NOW + START_WAIT


def test_nginx_stops_when_no_site_is_wanted():
    its = app(port=False)
    seen = world(one(port=0), knows=[its])
    assert rounds([its], seen, generation="") == ["stop nginx"]
    gone = replace(seen, nginx=NginxSeen())
    assert rounds([its], gone, generation="") == []


@pytest.mark.parametrize("hurry", [False, True])
def test_nginx_finishes_its_requests_first_unless_there_is_a_hurry(hurry):
    (step,) = plan(desired(at_once=hurry), world(), generation="")
    assert step.graceful is not hurry


def test_while_nginx_is_busy_it_is_asked_for_nothing_else():
    busy = replace(OLD_GENERATION, busy=True)
    assert not switched(app(), one(), nginx=busy)


# Giving a version up


@pytest.mark.parametrize(
    "broken",
    [
        one(S.BACKOFF, version="v2", crashes=1),
        one(S.STARTING, version="v2", crashes=1),
        one(S.FAILED, version="v2"),
        one(S.STOPPED, version="v2"),
        one(S.UNREADY, version="v2"),
        one(S.STARTING, version="v2", since=NOW - 30),
    ],
)
def test_a_version_is_given_up_with_its_first_instance_that_does_not_work(broken):
    assert planned(app(version="v2"), one(), broken) == ["roll back web to the previous version"]


def test_a_revert_says_whose_fault_it_was():
    def said_of(i):
        return why(plan(desired(app(version="v2")), world(i), generation="g1"))

    crashed = one(S.BACKOFF, version="v2", crashes=1, reason="exited with code 1")
    assert said_of(crashed) == ["web.1.11 exited with code 1"]
    slow = one(S.STARTING, version="v2", since=NOW - 30)
    assert said_of(slow) == ["web.1.11 was not ready within 30s"]


@pytest.mark.parametrize(
    "its",
    [
        app(version="v2", good=None),
        app(version="v2", good="v2"),
        app(version="v2", abrupt=True),
        app(version="v2", stopped=True),
    ],
)
def test_nothing_is_given_up_where_there_is_nothing_to_go_back_to_or_nobody_wants_to(its):
    steps = planned(its, one(S.BACKOFF, version="v2", crashes=1, retry_at=NOW + 1))
    assert "roll back web to the previous version" not in steps


def test_what_an_earlier_attempt_left_behind_is_not_held_against_a_version():
    leaving = one(S.DRAINING, version="v2", crashes=1)
    assert planned(app(version="v2"), one(), leaving) == ["start web.1 on a free port"]


def test_a_version_becomes_the_good_one_when_all_of_it_is_ready():
    its = app(version="v2", instances=2)
    halfway = one(version="v2"), one(S.STARTING, slot=2, version="v2")
    done = one(version="v2"), one(slot=2, version="v2")
    assert planned(its, *halfway) == []
    assert planned(its, *done) == ["mark this version of web as good"]


# Starting again


def test_an_instance_that_exited_is_started_again_when_its_delay_is_over():
    waiting = one(S.BACKOFF, retry_at=NOW + 1)
    assert planned(app(), waiting) == []
    assert planned(app(), replace(waiting, retry_at=NOW)) == ["start web.1.1 again"]


@pytest.mark.parametrize("state", [S.STOPPED, S.FAILED])
def test_what_has_ended_for_good_waits_for_an_operator(state):
    assert planned(app(), one(state)) == []


def test_an_instance_that_leaves_is_not_started_again_in_the_same_round():
    waiting = one(S.BACKOFF, slot=2, retry_at=NOW)
    for its in (
        app(),
        app(instances=2, stopped=True),
        app(version="v2", instances=2, abrupt=True),
    ):
        steps = plan(desired(its), world(one(), waiting, knows=[its]), generation="g1")
        assert "drain web.2.2" in said(steps)
        assert not any(isinstance(step, Respawn) for step in steps)


def test_what_never_becomes_ready_is_killed_when_its_time_is_up():
    its = app(good=None, ready_timeout=7)
    starting = one(S.STARTING, since=NOW - 7)
    assert planned(its, replace(starting, since=NOW - 6.9)) == []
    assert planned(its, starting) == ["kill web.1.1"]
    assert planned(its, after_kill(starting, now=NOW)) == []


def test_crashes_are_counted_until_there_have_been_too_many():
    its = app(good=None, max_restarts=3, backoff=1, backoff_limit=9)
    i, delays = one(S.STARTING), []
    while i.state is not S.FAILED:
        i = after_exit(i, Exit(1), its.app, now=NOW, jitter=0, reason="exited with code 1")
        delays.append(i.retry_at - NOW)
        if i.state is S.BACKOFF:
            assert planned(its, i, now=i.retry_at) == ["start web.1.1 again"]
    assert delays[:2] == [1, 2]
    assert i.crashes == 3
    assert planned(its, i, now=NOW + 1e6) == []


# Leaving


def stopped_when(i, **fields) -> bool:
    return "stop web.1.1" in planned(app(drain_timeout=9), i, one(serial=2), **fields)


def test_an_instance_is_stopped_when_nginx_was_told_and_nothing_is_connected_any_more():
    i = one(S.DRAINING)
    told = frozenset({i.id})
    assert not stopped_when(i)
    assert not stopped_when(i, connections={i.id: 0})
    assert not stopped_when(i, settled=told)
    assert not stopped_when(i, settled=told, connections={i.id: 1})
    assert stopped_when(i, settled=told, connections={i.id: 0})


def test_connections_hold_a_stop_up_for_drain_timeout_and_no_longer():
    i = one(S.DRAINING, since=NOW - 9)
    busy = {"connections": {i.id: 3}, "settled": frozenset({i.id})}
    assert stopped_when(i, **busy)
    assert not stopped_when(replace(i, since=NOW - 8.9), **busy)


def test_no_time_is_so_late_that_nginx_need_not_be_told():
    assert not stopped_when(one(S.DRAINING, since=NOW - 9999), connections={"web.1.1": 0})


def test_nothing_is_stopped_while_discovery_hands_it_out():
    i = one(S.DRAINING)
    its = app()
    seen = world(i, knows=[], settled=frozenset({i.id}), connections={i.id: 0})
    handed_out = world(replace(i, state=S.READY), knows=[its]).endpoints
    steps = rounds([its], replace(seen, endpoints=handed_out))
    assert "stop web.1.1" not in steps
    assert "publish slots none of web" in steps


def test_a_restart_waits_neither_for_nginx_nor_for_connections_where_no_request_is_held():
    assert planned(app(version="v2", abrupt=True), one(S.DRAINING)) == ["stop web.1.1"]


def test_a_restart_lets_requests_end_for_half_of_the_time_that_others_are_held():
    its = replace(app(version="v2", abrupt=True, drain_timeout=9), wait=8.0)
    i = one(S.DRAINING, since=NOW - 3.9)
    busy = {"connections": {i.id: 1}, "settled": frozenset({i.id})}
    assert planned(its, i, **busy) == []
    assert planned(its, i) == [], "nginx may not know of it yet"
    assert planned(its, i, **busy | {"connections": {i.id: 0}}) == ["stop web.1.1"]
    assert planned(its, replace(i, since=NOW - 4)) == ["stop web.1.1"]
    brief = replace(its, spec=app(version="v2", drain_timeout=1).spec)
    assert planned(brief, replace(i, since=NOW - 1), **busy) == ["stop web.1.1"]


def test_what_does_not_stop_in_time_is_killed_and_given_the_same_time_again():
    its = app(stopped=True, stop_timeout=3)
    stopping = one(S.STOPPING, since=NOW - 3)
    assert planned(its, replace(stopping, since=NOW - 2.9)) == []
    assert planned(its, stopping) == ["kill web.1.1"]
    assert planned(its, after_kill(stopping, now=NOW)) == []
    assert planned(its, after_kill(stopping, now=NOW), now=NOW + 3) == ["kill web.1.1"]


def test_what_is_gone_is_forgotten():
    assert planned(app(stopped=True), one(S.GONE)) == ["forget web.1.1"]


def test_a_removed_app_stays_until_nginx_names_it_no_more():
    old = app("old")
    seen = world(one(name="old"), knows=[old], nginx=OLD_GENERATION)
    new = app()
    assert all("old" not in step for step in rounds([new], seen))
    after = replace(seen, nginx=SERVING)
    assert rounds([], after) == ["drain old.1.1", "publish slots none of old"]


def test_a_removed_app_is_dropped_when_nothing_of_it_is_left():
    known = {"old": ()}
    assert rounds([], world(one(S.STOPPING, name="old"), endpoints=known)) == []
    assert rounds([], world(one(S.GONE, name="old"), endpoints=known)) == ["forget old.1.1"]
    assert rounds([], world(endpoints=known)) == ["forget old"]


# Time


@pytest.mark.parametrize(
    ("i", "moment"),
    [
        (one(S.BACKOFF, retry_at=NOW + 3), NOW + 3),
        (one(S.STARTING), NOW + 30),
        (one(S.DRAINING, since=NOW - 1), NOW + 29),
        (one(S.STOPPING, since=NOW - 1), NOW + 9),
        (one(S.UNREADY), NOW + 15),
        (one(S.READY), None),
        (one(S.FAILED), None),
        (one(S.STOPPING, since=NOW - 99), None),
    ],
)
def test_time_alone_asks_for_a_round_when_the_next_limit_is_reached(i, moment):
    assert wake_at(desired(app()), world(i)) == moment


def test_the_first_of_all_moments_counts():
    instances = one(S.BACKOFF, retry_at=NOW + 3), one(S.BACKOFF, slot=2, retry_at=NOW + 2)
    assert wake_at(desired(app(instances=2)), world(*instances)) == NOW + 2


@pytest.mark.parametrize("state", [S.STARTING, S.UNREADY])
def test_an_instance_whose_port_was_taken_is_started_again_at_once_on_another(state):
    its = one(state, taken=True)
    assert "restart web.1.1" in planned(app(), its)


def test_on_a_pinned_port_it_waits_for_the_end_of_its_time():
    its, pinned = one(S.STARTING, taken=True, port=3000), app(port=3000)
    assert planned(pinned, its) == []


def test_a_version_is_not_given_up_because_somebody_took_a_port_of_it():
    old = one()
    for state in (S.STARTING, S.UNREADY, S.RESTARTING, S.BACKOFF):
        new = one(state, version="v2", taken=True, retry_at=NOW + 1)
        steps = plan(
            desired(its := app(version="v2")), world(old, new, knows=[its]), generation="g1"
        )
        assert not [step for step in steps if isinstance(step, Revert)], steps


def test_before_a_new_daemon_answers_for_an_app_nothing_of_it_is_stopped():
    """A daemon before it may have been lost before nginx knew of the drain."""
    its, i = app(), one(S.DRAINING, since=0.0)
    now = world(i, settled={i.id}, connections={i.id: 0})

    assert "stop web.1.1" not in said(plan(desired(its), now, generation="g1"))
    gone = desired(removed_apps={"web": its})
    assert "stop web.1.1" not in said(plan(gone, now, generation="g2"))
    assert "stop web.1.1" in said(plan(gone, now, generation="g1"))
