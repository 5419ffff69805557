from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.certificate import STAGING_LIMITS, Entry, Issuer, Limit, Limits
from portico.core.planning.ledger import Ledger
from tests.unit.certificates import DAY, FIRST, HOUR, MINUTE, NOW, SECOND

URL = FIRST.directory


def obtained(count, *names, at=NOW - DAY, step=MINUTE, issuer=URL, exempt=False):
    """Orders that were sent and led to certificates, the first at `at`."""
    entries = []
    for n in range(count):
        order = f"{names[0]}.{at}.{n}"
        entries += [
            Entry(at + n * step, issuer, "order", names, order, exempt=exempt),
            Entry(at + n * step + 1, issuer, "certificate", names, order, exempt=exempt),
        ]
    return entries


def refusal(entries, *names, now=NOW, issuer=FIRST, **more):
    return Ledger(entries, now).refusal(issuer, names, **more)


def test_the_sixth_certificate_for_the_same_names_waits_until_the_first_is_a_week_old():
    entries = obtained(5, "a.test", "b.test")
    assert refusal(entries[:8], "b.test", "a.test") is None
    found = refusal(entries, "b.test", "A.test")
    assert found.until == NOW - DAY + 1 + 7 * DAY
    assert found.why == "5 of 5 certificates for exactly a.test, b.test used"
    assert refusal(entries, "a.test", now=NOW) is None, "another set has its own five"
    assert refusal(entries, "a.test", "b.test", now=found.until) is None


def test_the_fifty_first_certificate_of_a_domain_waits_whatever_its_names_are():
    entries = [e for n in range(50) for e in obtained(1, f"n{n}.a.co.uk", at=NOW - DAY + n)]
    found = refusal(entries, "new.a.co.uk", "c.test")
    assert found.why == "50 of 50 certificates for a.co.uk used"
    assert found.until == NOW - DAY + 1 + 7 * DAY
    assert refusal(entries, "b.co.uk") is None


def test_five_failed_validations_of_a_name_in_an_hour_hold_up_every_order_with_it():
    entries = [
        Entry(NOW - 50 * MINUTE + n * MINUTE, URL, "failed_validation", ("*.a.test", "c.test"))
        for n in range(5)
    ]
    found = refusal(entries, "a.test", "b.test")
    assert (found.until, found.why) == (
        NOW + 10 * MINUTE,
        "5 of 5 failed validations of a.test used",
    )
    assert refusal(entries[1:], "a.test") is None
    assert refusal(entries, "b.test") is None
    assert refusal(entries, "a.test", now=found.until) is None


def test_the_three_hundred_and_first_order_within_three_hours_waits_even_if_all_have_failed():
    entries = []
    for n in range(300):
        order = f"n{n}.test.1"
        entries.append(Entry(NOW - HOUR + n, URL, "order", (f"n{n}.test",), order))
        entries.append(Entry(NOW - HOUR + n + 1, URL, "abandoned", (f"n{n}.test",), order))
    found = refusal(entries, "a.test")
    assert (found.until, found.why) == (NOW + 2 * HOUR, "300 of 300 orders used")
    assert refusal(entries[2:], "a.test") is None


def test_ten_accounts_within_three_hours_are_enough():
    entries = [Entry(NOW - HOUR + n, URL, "account") for n in range(10)]
    assert Ledger(entries, NOW).account_refusal(FIRST).until == NOW + 2 * HOUR
    assert Ledger(entries[1:], NOW).account_refusal(FIRST) is None
    assert refusal(entries, "a.test") is None


def test_an_order_that_led_to_nothing_counts_for_no_certificate():
    entries = []
    for n in range(20):
        entries.append(Entry(NOW - DAY + n, URL, "order", ("a.test",), str(n)))
        entries.append(Entry(NOW - DAY + n, URL, "abandoned", ("a.test",), str(n)))
    assert refusal(entries, "a.test") is None


def test_orders_under_way_count_as_the_certificates_that_they_may_become():
    entries = [Entry(NOW - MINUTE, URL, "order", ("a.test",), str(n)) for n in range(5)]
    assert refusal(entries, "a.test").until == NOW - MINUTE + 7 * DAY


def test_an_order_that_is_gone_on_with_counts_once_and_one_begun_anew_twice():
    line = Entry(NOW - HOUR, URL, "order", ("a.test",), "a.test.1")
    again = replace(line, at=NOW - MINUTE)
    done = replace(again, kind="certificate")

    def used(*entries):
        uses = {use.limit: use.used for use in Ledger(entries, NOW).uses(FIRST, ("a.test",))}
        return uses["orders"], uses["same names"]

    assert used(line, again) == used(line, again, done) == (1, 1)
    assert used(line, replace(line, kind="abandoned"), again, done) == (2, 1)
    assert used(done) == (0, 1), "its order was sent before the ledger begins"


def test_an_order_continued_for_other_names_counts_as_another_one():
    one = Entry(NOW - HOUR, URL, "order", ("a.test",), "a.test.1")
    signed = replace(one, at=NOW - MINUTE, kind="certificate")
    other = replace(one, at=NOW, names=("a.test", "b.test"))
    other_signed = replace(other, kind="certificate")

    def used(*entries):
        ledger = Ledger(entries, NOW)
        uses = {use.of: use.used for use in ledger.uses(FIRST, other.names)}
        is_counted = [ledger.is_counted(URL, one.order, each.names) for each in (one, other)]
        return uses[""], uses["a.test, b.test"], is_counted

    assert used(one, signed) == (1, 0, [True, False])
    assert used(one, signed, other) == (2, 1, [False, True])
    assert used(one, signed, other, other_signed, other_signed) == (2, 1, [False, True])
    assert used(one, other) == (2, 1, [False, True]), "the first one leads to nothing"


def test_replacements_by_renewal_information_count_for_nothing_and_are_held_up_by_nothing():
    entries = obtained(40, "a.test", exempt=True)
    assert refusal(entries, "a.test") is None
    full = obtained(5, "a.test")
    assert refusal(full, "a.test") is not None
    assert refusal(full, "a.test", exempt=True) is None


def test_an_order_counts_when_the_authority_did_not_take_it_as_a_replacement():
    entries = [replace(entry, exempt=entry.kind == "order") for entry in obtained(5, "a.test")]
    assert refusal(entries, "a.test") is not None


def test_each_authority_has_a_ledger_and_limits_of_its_own():
    entries = obtained(5, "a.test")
    assert refusal(entries, "a.test", issuer=SECOND) is None
    wide = replace(FIRST, limits=Limits(same_names=Limit(6, 7 * DAY)))
    assert refusal(entries, "a.test", issuer=wide) is None


def test_an_authority_whose_limits_are_unknown_has_none():
    unknown = Issuer(URL, staging="https://staging.test/directory")
    many = obtained(2000, "a.test", at=NOW - HOUR, step=1.0)
    assert refusal(many, "a.test", issuer=unknown) is None
    assert Ledger(many, NOW).account_refusal(unknown) is None
    assert list(Ledger(many, NOW).uses(unknown, ("a.test",))) == []
    assert list(Ledger(many, NOW).uses(unknown, ("a.test",), staging=True)) == []


def test_staging_has_limits_and_a_ledger_of_its_own():
    issuer = replace(
        FIRST, staging="https://staging.test/directory", staging_limits=STAGING_LIMITS
    )
    assert refusal(obtained(5, "a.test"), "a.test", issuer=issuer, staging=True) is None
    many = obtained(1500, "a.test", at=NOW - HOUR, step=1.0, issuer=issuer.staging)
    assert refusal(many, "a.test", issuer=issuer) is None
    found = refusal(many, "a.test", issuer=issuer, staging=True)
    assert found.why == "1500 of 1500 orders used"


def test_an_authoritys_own_refusal_is_obeyed_for_a_day_at_most_and_by_replacements_too():
    all_names = Entry(NOW - HOUR, URL, "limited", until=NOW + HOUR)
    assert refusal([all_names], "a.test", exempt=True).until == NOW + HOUR
    some = Entry(NOW - HOUR, URL, "limited", ("b.test",), until=NOW + 40 * DAY)
    assert refusal([some], "a.test") is None
    assert refusal([some], "*.b.test").until == NOW + 23 * HOUR
    assert refusal([some], "b.test", now=NOW + 23 * HOUR) is None


def test_of_several_limits_the_one_that_holds_longest_is_told():
    failures = [Entry(NOW, URL, "failed_validation", ("a.test",)) for _ in range(5)]
    found = refusal([*obtained(5, "a.test"), *failures], "a.test")
    assert found.until > NOW + 5 * DAY


def test_what_is_used_of_each_limit_can_be_shown():
    entries = obtained(3, "a.test", "www.b.test")
    uses = Ledger(entries, NOW).uses(FIRST, ("www.b.test", "a.test"))
    assert [(use.limit, use.of, use.used, use.most) for use in uses] == [
        ("same names", "a.test, www.b.test", 3, 5),
        ("domain", "a.test", 3, 50),
        ("domain", "b.test", 3, 50),
        ("failed validations", "a.test", 0, 5),
        ("failed validations", "www.b.test", 0, 5),
        ("orders", "", 0, 300),
    ]


def test_entries_of_a_clock_that_was_ahead_count_as_made_now():
    ahead = obtained(5, "a.test", at=NOW + 300 * DAY)
    assert refusal(ahead, "a.test").until == NOW + 7 * DAY


@given(
    most=st.integers(1, 6),
    within=st.floats(1.0, 1e6),
    gaps=st.lists(st.floats(0.0, 1e6), max_size=60),
)
def test_whoever_asks_before_each_order_is_never_above_a_limit(most, within, gaps):
    issuer = replace(FIRST, limits=Limits(same_names=Limit(most, within)))
    entries, now = [], NOW
    for n, gap in enumerate(gaps):
        now += gap
        found = refusal(entries, "a.test", now=now, issuer=issuer)
        if found is not None:
            assert found.until >= now
            now = found.until
            assert refusal(entries, "a.test", now=now, issuer=issuer) is None, "as it was told"
        entries += [
            Entry(now, URL, "order", ("a.test",), str(n)),
            Entry(now, URL, "certificate", ("a.test",), str(n)),
        ]
        counted = [e for e in entries[::2] if e.at > now - within]
        assert len(counted) <= most


@pytest.mark.parametrize("exempt", [True, False])
def test_nothing_is_in_the_way_of_a_first_order(exempt):
    assert refusal([], "a.test", exempt=exempt) is None
