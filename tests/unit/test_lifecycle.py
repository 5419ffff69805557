from __future__ import annotations

from dataclasses import replace

import pytest

from portico.core.model.app import App
from portico.core.model.instance import LEAVING_STATES, Exit, InstanceEvent, InstanceState, Process
from portico.core.planning.lifecycle import (
    MAX_MOVES,
    after_boot,
    after_exit,
    after_kill,
    after_spawn,
    move,
    with_own_port,
    with_port_taken,
)
from tests.unit.worlds import NOW, one

S = InstanceState
APP = App(command="run", max_restarts=3, min_uptime=10, backoff=1, backoff_limit=8)
CRASHED = Exit(1)
PROCESS = Process(77, 9.0)


def exits(i, ending=CRASHED, app=APP, *, age=0.0, jitter=0.0):
    return after_exit(i, ending, app, now=NOW + age, jitter=jitter, reason="exited with code 1")


def test_an_instance_that_exits_waits_for_its_restart_without_a_process():
    after = exits(one(), age=5)
    assert (after.state, after.process, after.since) == (S.BACKOFF, None, NOW + 5)
    assert after.reason == "exited with code 1"


def test_each_exit_that_comes_too_soon_makes_the_next_delay_longer():
    first = exits(one(), age=5)
    second = exits(one(crashes=1), age=5)
    assert (first.crashes, first.retry_at) == (1, NOW + 5 + 1)
    assert (second.crashes, second.retry_at) == (2, NOW + 5 + 2)


def test_an_exit_after_min_uptime_is_no_crash_and_is_restarted_at_once():
    after = exits(one(crashes=2), age=10)
    assert (after.state, after.crashes, after.retry_at) == (S.BACKOFF, 0, NOW + 10)


def test_whatever_exits_before_it_was_ever_ready_has_crashed_however_long_it_took():
    assert exits(one(S.STARTING), age=100).crashes == 1


def test_as_many_crashes_in_a_row_as_max_restarts_are_a_crash_loop():
    assert exits(one(crashes=1)).state is S.BACKOFF
    loop = exits(one(crashes=2))
    assert (loop.state, loop.crashes) == (S.FAILED, 3)


@pytest.mark.parametrize("most", [0, 1])
def test_the_first_crash_may_be_the_last_and_an_exit_that_is_none_never_is(most):
    its = APP.model_copy(update={"max_restarts": most})
    assert exits(one(), app=its).state is S.FAILED
    assert exits(one(), app=its, age=10).state is S.BACKOFF


def test_a_start_that_fails_counts_as_a_crash():
    again = exits(one(S.BACKOFF, process=None, crashes=1), Exit())
    assert (again.state, again.crashes) == (S.BACKOFF, 2)
    assert exits(one(S.BACKOFF, process=None, crashes=2), Exit()).state is S.FAILED


@pytest.mark.parametrize("state", [S.STARTING, S.READY, S.BACKOFF])
def test_what_is_not_to_be_restarted_stays_stopped_when_it_exits(state):
    once = App(command="run", autorestart=False)
    done = App(command="run", stop_exit_codes=(0, 3))
    assert exits(one(state), app=once).state is S.STOPPED
    assert exits(one(state), Exit(3), done).state is S.STOPPED
    assert exits(one(state), Exit(4), done).state is S.BACKOFF


@pytest.mark.parametrize("state", sorted(LEAVING_STATES - {S.GONE}))
def test_what_was_leaving_is_gone_when_it_exits_and_no_crash(state):
    after = exits(one(state, crashes=1))
    assert (after.state, after.crashes) == (S.GONE, 0)


def test_a_new_process_is_no_restart_the_first_time():
    i = one(S.STARTING, process=None, since=0, spawned=0)
    after = after_spawn(i, PROCESS, now=NOW)
    assert (after.process, after.spawned, after.since, after.restarts) == (PROCESS, NOW, NOW, 0)


def test_a_new_process_after_an_exit_is_a_restart_and_keeps_id_port_and_count_of_crashes():
    i = one(S.BACKOFF, process=None, crashes=2, restarts=4, reason="exited with code 1")
    after = after_spawn(i, PROCESS, now=NOW + 3)
    assert (after.state, after.process, after.since) == (S.STARTING, PROCESS, NOW + 3)
    assert (after.id, after.port, after.crashes, after.restarts) == (i.id, i.port, 2, 5)
    assert after.reason == ""


def test_while_it_is_started_again_it_goes_on_saying_why_it_failed():
    failed = exits(one(S.STARTING, process=PROCESS, spawned=NOW))
    again = after_spawn(failed, PROCESS, now=NOW + 1)
    assert again.trouble == failed.reason == "exited with code 1"
    assert replace(again, reason="answered 503").trouble == "answered 503"
    assert move(again, InstanceEvent.CHECK_PASSED, now=NOW + 2).trouble == ""


def test_a_start_after_a_boot_or_a_regular_exit_has_no_failure_before_it():
    assert after_spawn(after_boot(one(), now=NOW), PROCESS, now=NOW).trouble == ""
    assert after_spawn(exits(one(), age=11), PROCESS, now=NOW + 12).trouble == ""


def test_a_move_notes_when_and_why():
    after = move(one(), InstanceEvent.DRAIN_ASKED, now=NOW + 2, reason="scaled to 2")
    assert (after.state, after.since, after.reason) == (S.DRAINING, NOW + 2, "scaled to 2")


def test_a_killed_instance_has_its_time_once_more_before_it_is_killed_again():
    i = one(S.STOPPING)
    after = after_kill(i, now=NOW + 10)
    assert (after.state, after.since, after.spawned) == (S.STOPPING, NOW + 10, NOW)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (S.STARTING, S.BACKOFF),
        (S.READY, S.BACKOFF),
        (S.UNREADY, S.BACKOFF),
        (S.RESTARTING, S.BACKOFF),
        (S.BACKOFF, S.BACKOFF),
        (S.DRAINING, S.GONE),
        (S.STOPPING, S.GONE),
        (S.GONE, S.GONE),
        (S.STOPPED, S.STOPPED),
        (S.FAILED, S.FAILED),
    ],
)
def test_after_a_boot_what_ran_runs_again_and_what_was_leaving_is_gone(before, after):
    assert after_boot(one(before, process=PROCESS), now=3.0).state is after


@pytest.mark.parametrize("state", [S.STARTING, S.READY])
def test_a_run_that_a_boot_ended_waits_for_its_next_time(state):
    after = after_boot(one(state, is_run=True, process=PROCESS), now=3.0)
    assert (after.state, after.process, after.ended) == (S.STOPPED, None, None)


def test_a_boot_is_no_crash_and_leaves_nothing_of_the_clock_before():
    ran = one(crashes=2, worn="it holds 2 GB", retry_at=NOW + 60, process=PROCESS)
    again = after_boot(ran, now=3.0)
    assert (again.crashes, again.worn, again.process) == (0, "", None)
    assert (again.since, again.spawned, again.retry_at) == (3.0, 3.0, 3.0)
    assert again.reason == "the machine was rebooted"


@pytest.mark.parametrize("state", [S.STARTING, S.READY, S.UNREADY])
def test_an_instance_whose_port_somebody_took_is_not_ready_until_its_check_says_so(state):
    after = with_port_taken(one(state), "port 41001 is held by pid 812", now=NOW + 1)
    assert (after.state is S.READY, after.taken) == (False, True)
    assert after.reason == "port 41001 is held by pid 812"
    again = with_own_port(after)
    assert (again.state, again.taken, again.reason) == (after.state, False, "")


def test_a_start_on_another_port_because_one_was_taken_is_no_crash_of_the_program():
    before = one(S.STARTING, taken=True, crashes=1)
    after = exits(before)
    assert (after.state, after.crashes, after.taken) == (S.BACKOFF, 1, True)
    assert not after_spawn(after, PROCESS, now=NOW).taken


@pytest.mark.parametrize(
    ("before", "app"),
    [
        (one(S.STARTING, taken=True, port=3000), APP.model_copy(update={"port": 3000})),
        (one(S.STARTING, taken=True, restarts=MAX_MOVES), APP),
    ],
)
def test_where_there_is_no_other_port_or_there_were_many_it_is_a_crash(before, app):
    assert exits(before, app=app).crashes == 1
