from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.certificate import (
    Entry,
    Issuer,
    Limit,
    Limits,
    RenewalState,
    Trouble,
    Window,
)
from portico.core.planning.ledger import Ledger
from portico.core.planning.renewal import (
    FAILURES_BEFORE_NEXT_ISSUER,
    RENEWAL_SPREAD,
    latest_renewal,
    next_action,
)
from tests.unit.certificates import (
    ARI_ID,
    DAY,
    FIRST,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    certificate,
    empty_ledger,
    lineage,
)

SERVED = RenewalState("a.test", served="8765", ask_ari_at=NOW + 1000 * DAY, asked_ari=NOW)


def act(held, memory=SERVED, *, now=NOW, wanted=None, ledger=None):
    return next_action(wanted or lineage(), held, memory, ledger or empty_ledger(now), now)


def window(start, end=None, drawn=None, ari_id=ARI_ID, **more):
    end = start + HOUR if end is None else end
    return Window(ari_id, start, end, start if drawn is None else drawn, **more)


def trouble(failures=1, *, retry_at, at=NOW, error="no answer"):
    return Trouble(failures, error, at, retry_at)


def test_a_lineage_without_a_certificate_gets_one_at_once():
    action = act(None, RenewalState("a.test"))
    assert (action.kind, action.due(NOW), action.issuer) == ("issue", True, FIRST)
    assert action.why == "there is no certificate yet"
    assert (action.replaces, action.exempt, action.staging) == ("", False, False)


@pytest.mark.parametrize(
    ("days", "left"), [(90, 1 / 3), (45, 1 / 3), (160 / 24, 1 / 2), (1, 1 / 2)]
)
def test_it_is_renewed_with_a_third_of_its_life_left_and_half_of_a_short_one(days, left):
    held = certificate(days=days)
    action = act(held)
    latest = held.not_after - left * held.lifetime
    assert action.kind == "issue"
    assert latest - RENEWAL_SPREAD * held.lifetime <= action.at <= latest
    assert not action.due(action.at - 1)
    assert act(held, now=action.at).due(action.at)


def test_renewals_without_a_suggestion_are_spread_by_serial_and_stay_where_they_are():
    moments = {latest_renewal(certificate(serial=f"{n * 7919 + 5:x}")) for n in range(1000)}
    assert len(moments) > 990
    held = certificate()
    assert {act(held, now=NOW + n * HOUR).at for n in range(20)} == {latest_renewal(held)}


def test_the_time_drawn_from_the_authoritys_window_counts_and_its_page_is_shown():
    drawn = NOW + 20 * DAY
    memory = replace(
        SERVED, window=window(drawn - HOUR, drawn + HOUR, drawn, explanation="https://x")
    )
    action = act(certificate(), memory)
    assert (action.kind, action.at) == ("issue", drawn)
    assert action.why == "its authority suggests this time: https://x"
    assert (action.replaces, action.exempt) == (ARI_ID, True)


def test_a_window_that_has_passed_means_now():
    held = certificate(at=NOW - 10 * DAY)
    action = act(held, replace(SERVED, window=window(NOW - 5 * DAY)))
    assert (action.kind, action.due(NOW)) == ("issue", True)


def test_a_window_after_the_backstop_does_not_delay_it():
    held = certificate()
    memory = replace(SERVED, window=window(held.not_after - HOUR))
    assert act(held, memory).at == latest_renewal(held)


def test_the_window_of_an_earlier_certificate_is_not_used_for_the_next():
    memory = replace(SERVED, window=window(NOW - 30 * DAY, ari_id="another.id"))
    action = act(certificate(), memory)
    assert action.at == latest_renewal(certificate())
    assert not action.exempt


@pytest.mark.parametrize(("days", "floor"), [(90, DAY), (160 / 24, 16 * HOUR)])
def test_a_window_that_was_open_when_the_certificate_came_does_not_renew_it_at_once(days, floor):
    held = certificate(days=days)
    memory = replace(SERVED, window=window(NOW - HOUR))
    assert act(held, memory).at == NOW + floor
    backdated = certificate(at=NOW - days * DAY / 2, days=days, stored=NOW)
    assert act(backdated, memory).at > NOW + floor / 3


def test_a_certificate_that_is_past_its_backstop_when_it_comes_does_not_make_a_loop():
    held = certificate(at=NOW - 80 * DAY, stored=NOW)
    assert act(held).at == NOW + DAY


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (lineage("a.test", "b.test"), "it is for a.test instead of a.test, b.test"),
        (lineage(key_type="rsa2048"), "its key is ecdsa-p256 instead of rsa2048"),
        (lineage(issuers=(SECOND,)), f"its issuer {FIRST.directory} is no longer configured"),
    ],
)
def test_other_names_key_or_issuer_are_due_now_but_wait_after_a_failure(wanted, why):
    action = act(certificate(), wanted=wanted)
    assert (action.kind, action.due(NOW), action.why) == ("issue", True, why)
    asked = wanted.issuers[0].directory
    memory = replace(SERVED, troubles={asked: trouble(retry_at=NOW + 600)})
    assert act(certificate(), memory, wanted=wanted).at == NOW + 600


def test_the_order_of_names_a_profile_and_a_second_issuer_are_no_reason_for_an_order():
    held = certificate("a.test", "b.test")
    for wanted in (
        lineage("b.test", "a.test"),
        lineage("a.test", "b.test", profile="shortlived"),
        lineage("a.test", "b.test", issuers=(SECOND, FIRST)),
    ):
        assert act(held, wanted=wanted).at == latest_renewal(held)


def test_an_imported_certificate_of_an_authority_that_is_not_known_is_left_until_it_is_due():
    held = certificate(issuer="")
    action = act(held)
    assert (action.at, action.replaces, action.exempt) == (latest_renewal(held), "", False)


def test_a_failure_is_waited_out_and_its_words_are_shown():
    held = certificate(at=NOW - 70 * DAY)
    memory = replace(SERVED, troubles={FIRST.directory: trouble(2, retry_at=NOW + 600)})
    action = act(held, memory)
    assert (action.kind, action.at) == ("issue", NOW + 600)
    assert (
        action.why == "two thirds of its lifetime has passed; the last attempt failed: no answer"
    )
    assert act(held, memory, now=NOW + 600).due(NOW + 600)


def test_an_expired_certificate_is_renewed_at_once_but_no_faster_than_any_other():
    held = certificate(at=NOW - 91 * DAY)
    assert act(held).why.startswith("it expired on ")
    memory = replace(SERVED, troubles={FIRST.directory: trouble(9, retry_at=NOW + DAY)})
    assert act(held, memory).at == NOW + DAY


def test_a_clock_that_is_behind_orders_nothing():
    held = certificate()
    for back in (HOUR, DAY, 400 * DAY, 20 * 365 * DAY):
        assert act(held, now=NOW - back).at >= NOW


def test_the_next_issuer_is_asked_when_the_first_has_failed_for_long_or_time_is_short():
    both = lineage(issuers=(FIRST, SECOND))
    waiting = {FIRST.directory: trouble(FAILURES_BEFORE_NEXT_ISSUER - 1, retry_at=NOW + HOUR)}
    old = certificate(at=NOW - 70 * DAY)
    assert act(old, replace(SERVED, troubles=waiting), wanted=both).issuer == FIRST
    long = {FIRST.directory: trouble(FAILURES_BEFORE_NEXT_ISSUER, retry_at=NOW + HOUR)}
    action = act(old, replace(SERVED, troubles=long), wanted=both)
    assert (action.issuer, action.due(NOW), action.replaces) == (SECOND, True, "")
    once = {FIRST.directory: trouble(1, retry_at=NOW + HOUR)}
    for held in (None, certificate(at=NOW - 85 * DAY)):
        assert act(held, replace(SERVED, troubles=once), wanted=both).issuer == SECOND
    again = replace(SERVED, troubles=long)
    assert act(old, again, wanted=both, now=NOW + HOUR).issuer == FIRST
    all_wait = {**long, SECOND.directory: trouble(1, retry_at=NOW + MINUTE)}
    action = act(old, replace(SERVED, troubles=all_wait), wanted=both)
    assert (action.issuer, action.at) == (SECOND, NOW + MINUTE)


def full(issuer=FIRST, at=NOW - DAY):
    orders = [Entry(at, issuer.directory, "order", ("a.test",), str(n)) for n in range(5)]
    return Ledger(orders, NOW)


def test_what_the_ledger_refuses_waits_for_the_moment_it_names():
    held = certificate(at=NOW - 70 * DAY)
    action = act(held, ledger=full())
    assert (action.kind, action.at) == ("issue", NOW + 6 * DAY)
    assert "5 of 5 certificates for exactly a.test used" in action.why


def test_what_the_ledger_refuses_for_long_is_asked_of_the_next_issuer():
    both = lineage(issuers=(FIRST, SECOND))
    assert act(None, RenewalState("a.test"), wanted=both, ledger=full()).issuer == SECOND


LIMITS = {
    "same_names": ("certificate", ("a.test",)),
    "domain": ("certificate", ("b.a.test",)),
    "orders": ("abandoned", ("c.test",)),
    "failed_validations": ("failed_validation", ("a.test",)),
}
"""What uses each of them up."""


@pytest.mark.parametrize("limit", LIMITS)
@given(
    days=st.floats(0.02, 200.0),
    used=st.floats(0.0, 1.0),
    age=st.floats(0.0, 2.0),
    within=st.floats(HOUR, 30 * DAY),
)
def test_no_limit_that_is_counted_here_makes_a_certificate_expire(limit, days, used, age, within):
    kind, names = LIMITS[limit]
    issuer = Issuer(FIRST.directory, limits=Limits(**{limit: Limit(1, within)}))
    held = certificate(days=days)
    now = NOW + age * held.lifetime
    at = now - used * within
    entries = [Entry(at, issuer.directory, each, names, "x.1") for each in ("order", kind)]
    action = act(held, now=now, wanted=lineage(issuers=(issuer,)), ledger=Ledger(entries, now))
    assert action.kind == "issue"
    if now < held.not_after:
        assert action.at <= held.not_after - held.lifetime / 12 or action.due(now)
    else:
        assert action.at <= now + 3 * HOUR, "an expired one waits for hours, not for days"


@given(age=st.floats(0.9, 2.0))
def test_the_authoritys_own_word_is_obeyed_also_by_what_expires(age):
    held = certificate(days=6)
    now = NOW + age * held.lifetime
    limited = Entry(now - HOUR, FIRST.directory, "limited", until=now + 20 * HOUR)
    action = act(held, now=now, ledger=Ledger([limited], now))
    assert (action.kind, action.at) == ("issue", now + 20 * HOUR)


def test_a_replacement_is_not_held_up_by_the_ledger():
    held = certificate(at=NOW - 70 * DAY)
    memory = replace(SERVED, window=window(NOW - HOUR))
    assert act(held, memory, ledger=full()).due(NOW)


def test_the_ledger_of_today_says_nothing_of_a_renewal_in_months():
    assert act(certificate(), ledger=full()) == act(certificate())


def test_new_names_are_tried_on_staging_first_and_known_ones_never():
    issuer = Issuer(FIRST.directory, staging="https://staging.test/directory")
    wanted = lineage("a.test", "b.test", issuers=(issuer,))
    for held in (None, certificate("a.test")):
        action = act(held, replace(SERVED, window=window(NOW)), wanted=wanted)
        assert (action.staging, action.replaces, action.exempt) == (True, "", False)
    tried = replace(SERVED, staged=("a.test", "b.test"))
    assert not act(None, tried, wanted=wanted).staging
    assert not act(certificate("b.test", "a.test", at=NOW - 70 * DAY), wanted=wanted).staging
    itself = replace(issuer, is_staging=True)
    assert not act(None, wanted=lineage(issuers=(itself,))).staging


def test_who_asks_by_hand_is_not_made_to_wait_except_by_the_ledger():
    held = certificate(at=NOW - 5 * DAY)
    troubled = replace(
        SERVED, forced=NOW, troubles={FIRST.directory: trouble(7, retry_at=NOW + DAY)}
    )
    action = act(held, troubled)
    assert (action.kind, action.due(NOW), action.why) == (
        "issue",
        True,
        "it was requested by hand",
    )
    assert act(held, troubled, ledger=full()).at == NOW + 6 * DAY


def test_of_several_issuers_each_is_asked_once_for_what_is_wanted_by_hand():
    held, wanted = certificate(at=NOW - 5 * DAY), lineage(issuers=(FIRST, SECOND))
    asked = replace(SERVED, forced=NOW)
    first = trouble(1, at=NOW + 1, retry_at=NOW + 60)
    second = trouble(1, at=NOW + 2, retry_at=NOW + 60)
    one_failed = replace(asked, troubles={FIRST.directory: first})
    both_failed = replace(asked, troubles={FIRST.directory: first, SECOND.directory: second})
    assert act(held, asked, wanted=wanted).issuer == FIRST
    assert act(held, one_failed, wanted=wanted, now=NOW + 2).issuer == SECOND
    assert not act(held, both_failed, wanted=wanted, now=NOW + 3).due(NOW + 3)


def test_a_certificate_that_came_after_it_was_asked_for_is_the_one():
    asked = replace(SERVED, forced=NOW)
    assert act(certificate(at=NOW - HOUR, stored=NOW + 5), asked, now=NOW + 9).at > NOW + DAY


def test_a_certificate_that_is_not_served_is_deployed_before_anything_else():
    held = certificate(at=NOW - 80 * DAY)
    memory = replace(SERVED, served="1234")
    assert (act(held, memory).kind, act(held, memory).due(NOW)) == ("deploy", True)
    failed = replace(memory, deploy_trouble=trouble(2, retry_at=NOW + 600, error="nginx -t"))
    assert act(held, failed).kind == "issue", "what waits to be deployed holds up no renewal"
    fresh = act(certificate(), failed)
    assert (fresh.kind, fresh.at, fresh.why) == (
        "deploy",
        NOW + 600,
        "it is not served yet: nginx -t",
    )


def test_an_authority_is_asked_for_its_window_when_it_said_so():
    memory = replace(SERVED, ask_ari_at=None)
    action = act(certificate(), memory)
    assert (action.kind, action.due(NOW), action.issuer) == ("ask_ari", True, FIRST)
    later = act(certificate(), replace(memory, ask_ari_at=NOW + HOUR))
    assert (later.kind, later.at) == ("ask_ari", NOW + HOUR)


@pytest.mark.parametrize(
    "held",
    [
        certificate(ari_id=""),
        certificate(at=NOW - 91 * DAY),
        certificate(issuer=SECOND.directory),
    ],
)
def test_nobody_is_asked_about_a_certificate_without_id_expired_or_of_another_authority(held):
    assert act(held, replace(SERVED, ask_ari_at=None)).kind != "ask_ari"


moments = st.floats(NOW - 200 * DAY, NOW + 200 * DAY)


@given(
    at=moments,
    now=moments,
    days=st.floats(1.0, 200.0),
    start=moments,
    drawn=st.floats(0.0, 1.0),
)
def test_a_certificate_is_never_renewed_after_its_backstop_nor_before_it_has_settled(
    at, now, days, start, drawn
):
    held = certificate(at=at, days=days)
    memory = replace(SERVED, window=window(start, drawn=start + drawn * HOUR))
    action = act(held, memory, now=now)
    assert at + min(DAY, held.lifetime / 10) * 0.999 <= action.at <= latest_renewal(held) + 0.001


@pytest.mark.slow
def test_a_pass_takes_less_than_a_second_for_ten_thousand_lineages_and_grows_with_them():
    def seconds(count):
        cases = [
            (
                lineage(f"n{n}.test"),
                certificate(f"n{n}.test", serial=f"{n + 1:x}", at=NOW - n * 500),
            )
            for n in range(count)
        ]
        began = time.process_time()
        ledger = Ledger([], NOW)
        for wanted, held in cases:
            next_action(wanted, held, SERVED, ledger, NOW)
        return time.process_time() - began

    few, many = (min(seconds(count) for _ in range(3)) for count in (1_000, 4_000))
    assert many < 0.4  # a second for ten thousand
    assert many < 8 * few, "four times as many must not take much more than four times as long"
