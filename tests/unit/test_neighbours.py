"""Which other machines are sent requests, whatever answers come in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.cluster import Machine
from portico.core.model.neighbour import NearList, Neighbour
from portico.core.model.world import FarEndpoint
from portico.core.planning.neighbours import (
    Refusal,
    apps_elsewhere,
    are_known,
    departure_wait,
    drained_machines,
    far_endpoints,
    interval,
    near_text,
    neighbours_of,
    read_near,
    with_answers,
    without_first_failures,
)

NAMES = ("m2", "m3", "m4")
MACHINES = {name: Machine(address=f"10.0.0.{name[1]}") for name in NAMES}
FRESH = neighbours_of(MACHINES, {})
YES = {name: NearList(name, {"web": 4}) for name in NAMES}
NO = dict.fromkeys(NAMES, "it does not answer in time")
WELL = with_answers(FRESH, YES)

answers = st.fixed_dictionaries(
    {name: st.sampled_from([YES[name], NearList(name), NO[name]]) for name in NAMES}
)


def after(*rounds: dict, begin=WELL) -> dict[str, Neighbour]:
    now = begin
    for each in rounds:
        now = with_answers(now, each)
    return now


def test_where_none_answers_those_are_out_that_the_store_does_not_hear_of_either():
    now = WELL
    for _ in range(2):
        now = with_answers(now, NO, absent={"m2", "m4"})
    assert out(now) == {"m2", "m4"}
    assert out(with_answers(now, NO)) == {"m2", "m4"}
    assert out(with_answers(WELL, YES, absent=NAMES)) == set()


def out(neighbours) -> set[str]:
    return {name for name, each in neighbours.items() if each.is_out}


def test_a_machine_that_answers_that_it_takes_nothing_from_here_is_out_and_the_others_are_silent():
    refused = NO | {"m2": Refusal("it does not accept this machine")}
    assert out(after(refused, refused)) == {*NAMES}
    assert out(after(refused)) == set()


M3_FAILS = YES | {"m3": NO["m3"]}


@pytest.mark.parametrize(
    ("rounds", "is_out"),
    [
        ([YES], set()),
        ([M3_FAILS], set()),
        ([M3_FAILS, M3_FAILS], {"m3"}),
        ([M3_FAILS, YES, M3_FAILS], set()),
        ([M3_FAILS, M3_FAILS, YES], set()),
        ([M3_FAILS, M3_FAILS, NO, NO], {"m3"}),
        ([NO] * 5, set()),
        ([M3_FAILS, NO], set()),
        ([NO, NO, M3_FAILS], {"m3"}),
    ],
)
def test_two_failures_are_out_one_success_is_in_and_none_is_when_all_fail(rounds, is_out):
    assert out(after(*rounds)) == is_out


@given(st.lists(answers, max_size=8))
def test_cut_off_all_stay_where_they_are(rounds):
    before = after(*rounds)

    assert far_endpoints(after(NO, NO, NO, begin=before)) == far_endpoints(before)


@given(st.lists(answers, max_size=8), answers)
def test_who_answers_is_in_with_its_newest_list(rounds, last):
    now = after(*rounds, last)

    for name, answer in last.items():
        if isinstance(answer, NearList):
            assert not now[name].is_out
            assert now[name].apps == answer.apps


@given(st.lists(answers, max_size=8), answers, answers)
def test_three_intervals_after_a_change_nobody_is_sent_to_by_an_older_list(rounds, one, two):
    """Unless this machine is cut off. Before it there may be a question that came too early."""
    now = after(*rounds, one, two)
    if any(isinstance(each, NearList) for each in two.values()):
        for name in NAMES:
            newest = [each[name] for each in (one, two) if isinstance(each[name], NearList)]
            assert now[name].is_out or (newest and now[name].apps == newest[-1].apps)


def test_until_enough_is_known_nothing_is_decided():
    once = with_answers(FRESH, M3_FAILS)

    assert not are_known(FRESH)
    assert not are_known(after(NO, NO, NO, begin=FRESH))  # cut off since the daemon began
    assert not are_known(once)
    assert are_known(with_answers(once, M3_FAILS))
    assert are_known(WELL)
    assert not are_known({})


def test_a_machine_known_to_be_silent_stays_so_where_none_can_be_asked():
    known = with_answers(with_answers(FRESH, M3_FAILS), M3_FAILS)
    assert are_known(without_first_failures(known, with_answers(known, NO)))
    twice = FRESH
    for _ in range(2):
        twice = without_first_failures(twice, with_answers(twice, NO))
    assert {each.failures for each in twice.values()} == {0}


def test_requests_cross_to_machines_by_how_many_instances_are_ready_there():
    lists = {"m2": NearList("m2", {"web": 4}), "m3": NearList("m3", {"web": 1, "api": 2})}
    now = after(YES | lists | {"m4": NO["m4"]}, YES | lists | {"m4": NO["m4"]})

    assert far_endpoints(now) == {
        "web": (FarEndpoint("m2", "10.0.0.2", 8445, 4), FarEndpoint("m3", "10.0.0.3", 8445, 1)),
        "api": (FarEndpoint("m3", "10.0.0.3", 8445, 2),),
    }


def test_a_drained_machine_does_not_leave_an_app_to_another_drained_one():
    leaving = NearList("m2", {"web": 1, "api": 1}, leaving=True)

    assert apps_elsewhere(after(YES | {"m2": leaving})) == {"web"}


def test_a_machine_at_another_address_is_another_one():
    moved = {**MACHINES, "m2": Machine(address="10.0.0.9")}
    now = neighbours_of(moved, WELL)

    assert not now["m2"].has_answered
    assert now["m3"] is WELL["m3"]
    assert neighbours_of({"m3": MACHINES["m3"]}, WELL).keys() == {"m3"}


@given(
    st.dictionaries(st.text("abc/-", min_size=1), st.integers(1, 1000)),
    st.booleans(),
    st.booleans(),
)
def test_a_list_is_read_as_it_was_written(apps, leaving, down):
    near = NearList("m2", apps, leaving, down)

    assert read_near(near_text(near).encode(), "m2") == near


def test_the_list_of_an_older_portico_does_not_say_whether_the_machine_is_down():
    older = b'{"v":1,"machine":"m2","leaving":true,"apps":{}}'
    assert read_near(older, "m2") == NearList("m2", leaving=True)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"machine":"m2"}',
        b'{"machine":"m2","leaving":false,"apps":[]}',
        b'{"machine":"m2","leaving":false,"apps":{"web":0}}',
        b'{"machine":"m2","leaving":false,"apps":{"web":true}}',
        b'{"machine":"m2","leaving":false,"apps":{"web":1e99}}',
        b'{"machine":"m2","leaving":false,"apps":{"a\\u001b[2J":1}}',
        b'{"machine":"m3","leaving":false,"apps":{}}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_list_is_a_failure(text):
    with pytest.raises(ValueError, match=r"list|answers at its address"):
        read_near(text, "m2")


def test_what_leaves_waits_longer_where_others_ask_less_often():
    assert (interval(10), interval(11)) == (0.5, 1.0)
    assert (departure_wait(0), departure_wait(10), departure_wait(11)) == (0.0, 3.5, 5.0)


@pytest.mark.parametrize(
    ("list_", "before", "found"),
    [
        (NearList("m2", {"web": 2}), [], []),
        (NearList("m2", {"web": 2}, leaving=True), [], ["m2"]),
        (NearList("m2", leaving=True), ["m2"], ["m2"]),
        (NearList("m2", {"web": 1}), ["m2"], ["m2"]),  # it has not all of its part ready yet
        (NearList("m2", {"web": 2}), ["m2"], []),
        ("it does not answer in time", ["m2"], ["m2"]),
        ("it does not answer in time", [], []),
    ],
)
def test_the_part_of_a_drained_machine_is_run_elsewhere_until_it_is_ready_there(
    list_, before, found
):
    machines = {"m2": Machine(address="10.0.0.2")}
    known = with_answers(neighbours_of(machines, {}), {"m2": list_})
    assert drained_machines(before, known, lambda _: {"web": {"m2": 2}}) == frozenset(found)
