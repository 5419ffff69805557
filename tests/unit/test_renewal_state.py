from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.certificate import RenewalState, Window
from portico.core.planning import renewal_state
from portico.core.planning.renewal_state import MAX_WAIT, Attempt, RenewalAnswer
from tests.unit.certificates import ARI_ID, DAY, FIRST, HOUR, MINUTE, NOW, certificate, lineage

URL = FIRST.directory
EMPTY = RenewalState("a.test")
HELD = certificate()


def fail(memory, now=NOW, draw=0.0, held=HELD, retry_at=None, **more):
    attempt = Attempt(held, now, draw, **more)
    return renewal_state.after_failure(memory, URL, "no answer", attempt, retry_at)


def tell(answer, memory=EMPTY, *, now=NOW, draw=0.5, held=HELD):
    return renewal_state.after_renewal_info(memory, held, answer, now=now, random_fraction=draw)


def test_failures_are_waited_out_for_1_10_and_100_minutes_and_then_for_a_day_each():
    memory, waits = EMPTY, []
    for _ in range(6):
        memory = fail(memory)
        waits.append(memory.troubles[URL].retry_at - NOW)
    assert waits == [MINUTE, 10 * MINUTE, 100 * MINUTE, DAY, DAY, DAY]
    assert memory.last_trouble.failures == 6


def test_waits_are_spread_so_that_those_who_failed_together_do_not_return_together():
    assert fail(EMPTY, draw=0.5).troubles[URL].retry_at == NOW + 1.05 * MINUTE


def test_a_certificate_that_lives_for_hours_is_tried_again_in_its_life():
    memory, waits = EMPTY, []
    for _ in range(5):
        memory = fail(memory, held=certificate(days=1))
        waits.append(memory.troubles[URL].retry_at - NOW)
    assert waits == [MINUTE, 10 * MINUTE, 100 * MINUTE, 4 * HOUR, 4 * HOUR]


@given(days=st.floats(1.0, 200.0), age=st.floats(0.0, 2.0), failures=st.integers(1, 12))
def test_a_failure_is_never_waited_out_for_more_than_a_sixth_of_what_is_left(days, age, failures):
    held, memory = certificate(days=days), EMPTY
    now = NOW + age * held.lifetime
    for _ in range(failures):
        memory = fail(memory, now=now, held=held)
    wait = memory.troubles[URL].retry_at - now
    assert wait + 0.001 >= MINUTE
    assert wait <= max((held.not_after - now) / 6, HOUR) + 0.001


@pytest.mark.parametrize(
    ("told", "waits"),
    [(NOW + 5 * HOUR, 5 * HOUR), (NOW + 1, MINUTE), (NOW - DAY, MINUTE), (NOW + 9 * DAY, DAY)],
)
def test_what_an_authority_says_about_coming_back_is_obeyed_between_a_minute_and_a_day(
    told, waits
):
    assert fail(EMPTY, retry_at=told).troubles[URL].retry_at == NOW + waits


def test_the_own_wait_counts_where_it_is_longer_than_the_authoritys():
    memory = fail(fail(fail(EMPTY)), retry_at=NOW + HOUR)
    assert memory.troubles[URL].retry_at == NOW + 100 * MINUTE


def test_each_issuer_has_failures_of_its_own_and_a_success_ends_them_all():
    memory = renewal_state.after_failure(fail(EMPTY), "other", "no", Attempt(None, NOW, 0.0))
    assert {url: trouble.failures for url, trouble in memory.troubles.items()} == {
        URL: 1,
        "other": 1,
    }
    memory = replace(memory, served="12", staged=("a.test",), window=Window("x", 1, 2, 1))
    assert renewal_state.after_issuance(memory) == RenewalState(
        "a.test", served="12", staged=("a.test",)
    )


def test_what_was_asked_for_by_hand_is_done_once():
    memory = renewal_state.after_request(EMPTY, NOW)
    assert memory.forced == NOW
    assert fail(memory).forced == NOW, "another issuer may be asked"
    assert renewal_state.after_issuance(memory).forced is None


def test_names_that_staging_has_signed_are_known_whatever_their_order():
    assert renewal_state.after_staging(EMPTY, lineage("b.test", "a.test")).staged == (
        "a.test",
        "b.test",
    )


def test_a_deploy_that_fails_is_retried_like_an_order_and_forgotten_when_it_works():
    memory = EMPTY
    for wait in (MINUTE, 10 * MINUTE, 100 * MINUTE, DAY):
        memory = renewal_state.not_deployed(memory, "nginx -t", Attempt(HELD, NOW, 0.0))
        assert memory.deploy_trouble.retry_at == NOW + wait
    memory = renewal_state.after_deployment(memory, HELD.serial, NOW)
    assert (memory.served, memory.deploy_trouble) == (HELD.serial, None)


def test_a_moment_is_drawn_once_from_a_window_and_again_only_when_it_has_moved_away():
    start, end = NOW + 10 * DAY, NOW + 12 * DAY
    memory = tell(RenewalAnswer(NOW + 6 * HOUR, start, end, "https://x"), draw=0.25)
    assert memory.window == Window(ARI_ID, start, end, start + DAY / 2, "https://x")
    for draw in (0.0, 0.9):
        again = tell(RenewalAnswer(NOW + 6 * HOUR, start + HOUR, end + HOUR), memory, draw=draw)
        assert again.window.renew_at == start + DAY / 2
    moved = tell(RenewalAnswer(NOW + 6 * HOUR, NOW - DAY, NOW - HOUR), memory)
    assert moved.window.renew_at < NOW


def test_a_moment_drawn_for_an_earlier_certificate_is_drawn_anew():
    memory = replace(EMPTY, window=Window("another.id", NOW, NOW + 9 * DAY, NOW + HOUR))
    assert tell(RenewalAnswer(None, NOW, NOW + 9 * DAY), memory).window.renew_at == NOW + 4.5 * DAY


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            RenewalAnswer(why="its answer has no suggestedWindow"),
            "its answer has no suggestedWindow",
        ),
        (
            RenewalAnswer(None, NOW + 5, NOW + 5),
            "the renewal window of its authority ends before it starts",
        ),
        (RenewalAnswer(None, NOW + 5, None, why="half"), "half"),
    ],
)
def test_an_answer_that_makes_no_sense_changes_nothing_and_is_told(answer, why):
    known = tell(RenewalAnswer(None, NOW, NOW + DAY))
    memory = tell(answer, known)
    assert (memory.window, memory.ari_trouble) == (known.window, why)
    assert memory.ask_ari_at == NOW + 6 * HOUR
    assert tell(RenewalAnswer(None, NOW, NOW + DAY), memory).ari_trouble == ""


@pytest.mark.parametrize(
    ("said", "waits"),
    [(None, 6 * HOUR), (NOW + 3 * HOUR, 3 * HOUR), (NOW, MINUTE), (NOW + 9 * DAY, DAY)],
)
def test_an_authority_is_asked_again_when_it_says_between_a_minute_and_a_day(said, waits):
    assert tell(RenewalAnswer(said, NOW, NOW + DAY)).ask_ari_at == NOW + waits


def test_a_clock_that_was_ahead_makes_nobody_wait_until_that_moment():
    year = NOW + 365 * DAY
    memory = fail(EMPTY, now=year)
    memory = renewal_state.not_deployed(memory, "no", Attempt(HELD, year, 0.0))
    memory = renewal_state.after_request(
        tell(RenewalAnswer(year + HOUR, NOW, NOW + DAY), memory, now=year), year
    )
    memory = renewal_state.clamped_to_clock(memory, NOW)
    assert (memory.troubles[URL].at, memory.troubles[URL].retry_at) == (NOW, NOW + MINUTE)
    assert memory.deploy_trouble.retry_at == NOW + MINUTE
    assert (memory.ask_ari_at, memory.forced) == (NOW + HOUR, NOW)
    assert memory.troubles[URL].failures == 1, "no failure is forgotten"
    assert renewal_state.clamped_to_clock(memory, NOW + 5) == memory


def test_a_memory_that_the_clock_has_passed_is_left_as_it_is():
    memory = fail(tell(RenewalAnswer(None, NOW, NOW + DAY)))
    assert renewal_state.clamped_to_clock(memory, NOW) is memory
    assert renewal_state.clamped_to_clock(EMPTY, NOW) is EMPTY


@given(
    steps=st.lists(st.tuples(st.floats(-400 * DAY, 400 * DAY), st.integers(0, 3)), max_size=20),
    draw=st.floats(0.0, 0.999),
)
def test_no_step_of_the_clock_makes_anything_wait_for_much_more_than_a_day(steps, draw):
    memory, now = EMPTY, NOW
    for step, what in steps:
        now += step
        memory = renewal_state.clamped_to_clock(memory, now)
        match what:
            case 0:
                memory = fail(memory, now, draw)
            case 1:
                memory = tell(RenewalAnswer(None, now, now + DAY), memory, now=now, draw=draw)
            case 2:
                memory = renewal_state.not_deployed(memory, "no", Attempt(HELD, now, draw))
        troubles = [*memory.troubles.values(), memory.deploy_trouble]
        waits = [trouble.retry_at for trouble in troubles if trouble]
        waits += [memory.ask_ari_at] if memory.ask_ari_at else []
        assert all(at <= now + MAX_WAIT + 1 for at in waits)
