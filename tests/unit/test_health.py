from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.app import App
from portico.core.model.check import Check
from portico.core.model.instance import Exit, Instance, InstanceState, Process
from portico.core.model.names import InstanceId
from portico.core.planning.health import after_probe, pace, recovery
from portico.core.planning.lifecycle import after_exit

S = InstanceState
NOW = 1000.0
READY = Instance(
    InstanceId("web.1.1"), "web", 1, "v1", 41000, S.READY, 900.0, Process(7, 1.0), spawned=890.0
)


def after(probes: str, check: Check, start: Instance = READY) -> str:
    """The states that probes (`.` good, `x` failed) lead through, by their first letters."""
    instance, states = start, ""
    for probe in probes:
        instance = after_probe(instance, "no answer" if probe == "x" else None, check, now=NOW)
        states += instance.state[0]
    return states


@pytest.mark.parametrize(
    ("rise", "fall", "probes", "states"),
    [
        (1, 1, "x", "u"),
        (1, 1, "x.", "ur"),
        (1, 3, "xx.xx", "rrrrr"),
        (1, 3, "xxx", "rru"),
        (1, 3, "xxxx.", "rruur"),
        (2, 3, "xxx..", "rruur"),
        (2, 3, "xxx.x..", "rruuuur"),
        (2, 3, "xxx.x.x", "rruuuuu"),
        (3, 1, "x...", "uuur"),
        (1, 2, "x.x.x.xx", "rrrrrrru"),
    ],
)
def test_a_verdict_changes_after_so_many_probes_in_a_row(rise, fall, probes, states):
    assert after(probes, Check(rise=rise, fall=fall)) == states


def test_an_unready_instance_says_since_when_and_why():
    unready = after_probe(READY, "answered 503", Check(fall=1), now=NOW)
    assert (unready.state, unready.since) == (S.UNREADY, NOW)
    assert unready.reason == "fails its health check: answered 503"
    assert after_probe(unready, None, Check(), now=NOW + 5) == replace(READY, since=NOW + 5)


def test_a_ready_instance_tells_of_its_first_failures_until_it_is_well_again():
    failing = after_probe(READY, "answered 503", Check(), now=NOW)
    assert failing.reason == "fails its health check: answered 503 (1 of 3)"
    assert failing.since == READY.since
    assert after_probe(failing, None, Check(), now=NOW) == READY


def test_probes_that_change_nothing_leave_the_record_as_it_is():
    assert after_probe(READY, None, Check(), now=NOW) is READY


def test_failures_within_the_grace_after_the_start_do_not_count():
    check = Check(fall=1, grace=20)
    assert after_probe(READY, "answered 503", check, now=READY.spawned + 19) is READY
    late = after_probe(READY, "answered 503", check, now=READY.spawned + 20)
    assert late.state is S.UNREADY


@pytest.mark.parametrize("state", sorted(set(S) - {S.READY, S.UNREADY}))
def test_a_probe_that_ends_too_late_changes_nothing(state):
    other = replace(READY, state=state)
    for trouble in (None, "no answer"):
        assert after_probe(other, trouble, Check(fall=1), now=NOW) is other


@given(
    interval=st.floats(0.1, 60),
    part=st.floats(0.01, 1),
    fall=st.integers(1, 10),
    passed=st.floats(0, 1),
)
def test_a_program_that_hangs_is_out_within_fall_intervals_and_a_second(
    interval, part, fall, passed
):
    """It hangs a part of the pace after its last good probe."""
    check = Check(interval=interval, timeout=max(0.01, interval * part), fall=fall)
    at_rest, overdue = pace(check, overdue=False), pace(check, overdue=check.limit > 1)
    assert 0 < overdue <= at_rest <= interval
    known = at_rest * (1 - passed) + (fall - 1) * overdue + check.limit
    assert known <= fall * interval + 1 + 1e-6


def test_at_rest_the_pace_is_the_interval_and_sooner_while_an_answer_is_overdue():
    assert pace(Check(interval=5, timeout=5), overdue=False) == 5
    assert pace(Check(interval=5, timeout=5), overdue=True) == 3
    assert pace(Check(interval=5, timeout=1), overdue=True) == 5
    assert pace(Check(interval=0.5), overdue=True) == 0.5
    assert pace(Check(interval=5, timeout=3, fall=1), overdue=False) == 3


def test_an_instance_has_as_long_to_recover_as_it_took_to_fail():
    assert recovery(Check(interval=5, fall=3)) == 15


def restarted(uptime: float, crashes: int = 0, **app: object) -> Instance:
    i = replace(READY, state=S.RESTARTING, spawned=NOW - uptime, crashes=crashes)
    return after_exit(i, Exit(0), App(**app), now=NOW, jitter=0.0, reason="failed its check")


def test_a_restart_for_the_check_counts_as_a_crash():
    i = restarted(60, crashes=1)
    assert (i.state, i.crashes, i.retry_at) == (S.BACKOFF, 2, NOW + 0.2)


def test_after_ten_minutes_up_it_counts_anew():
    assert restarted(600, crashes=5).crashes == 1


def test_a_loop_of_such_restarts_ends_in_failure():
    i = restarted(60, crashes=16)
    assert (i.state, i.reason) == (S.FAILED, "failed its check")


def test_an_exit_code_that_means_done_does_not_when_it_was_told_to_restart():
    assert restarted(60, stop_exit_codes=(0,)).state is S.BACKOFF


def test_an_unready_instance_that_exits_by_itself_after_long_is_no_loop():
    i = replace(READY, state=S.UNREADY)
    after = after_exit(i, Exit(1), App(), now=NOW, jitter=0.0, reason="")
    assert (after.state, after.crashes) == (S.BACKOFF, 0)
