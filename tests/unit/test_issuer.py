from __future__ import annotations

import pytest

from portico.core.model.certificate import Challenge, Entry
from portico.core.model.shared_certificates import CurrentLineage, ledger_item
from portico.core.planning.issuer import (
    NO_THUMBPRINT,
    IssuerView,
    RoleView,
    hindrance,
    is_to_share,
    problem,
    role_act,
    to_take,
    usable_entries,
)
from tests.unit.certificates import NOW, certificate, lineage

MAY = IssuerView(
    holder="m1", is_own=True, is_ready=True, thumbprint="t", answering={"m1": "t", "m2": "t"}
)
DNS = lineage(challenges=(Challenge("dns-01"),))
OWN = lineage(behind_nginx=False)


def view(**more):
    return IssuerView(**{name: getattr(MAY, name) for name in MAY.__slots__} | more)


@pytest.mark.parametrize(
    ("wanted", "seen", "why"),
    [
        (lineage(), MAY, ""),
        (lineage(), view(trouble="down"), "the store of the cluster is not available: down"),
        (OWN, view(trouble="down"), "the store of the cluster is not available: down"),
        (lineage(), view(is_own=False), "m1 obtains the certificates of the cluster"),
        (
            lineage(),
            view(is_own=False, holder=""),
            "no machine obtains the certificates of the cluster",
        ),
        (OWN, view(is_own=False), ""),
        (
            lineage(),
            view(is_ready=False),
            "this machine has not read the certificates of the other machines yet",
        ),
        (
            lineage(),
            view(answering={"m1": "t", "m2": "old", "m3": NO_THUMBPRINT}),
            "m2, m3 cannot answer the authority yet",
        ),
        (DNS, view(answering={"m2": NO_THUMBPRINT}), ""),
        (lineage(), view(claimant="m2"), "m2 is about to obtain the certificates of the cluster"),
        (OWN, view(claimant="m2", is_yielding=True), ""),
        (
            lineage(),
            view(is_yielding=True),
            "this machine did not reach the authority, so another machine tries",
        ),
        (lineage(), view(ledger_until=NOW + 3600), ""),
    ],
)
def test_what_keeps_a_machine_from_ordering(wanted, seen, why):
    assert hindrance(wanted, seen, NOW) == why


FREE = {"is_own": False, "holder": ""}


@pytest.mark.parametrize(
    ("seen", "act"),
    [
        ({}, ""),
        ({"needed": False}, "give up"),
        ({"claimant": "m2"}, "give up"),
        ({"claimant": "m2", "is_busy": True}, ""),
        ({"claimant": "m1"}, ""),
        ({"is_yielding": True}, "give up"),
        ({"is_yielding": True, "is_busy": True}, ""),
        (FREE, "take"),
        (FREE | {"needed": False}, ""),
        (FREE | {"claimant": "m1"}, "take"),
        (FREE | {"claimant": "m2"}, ""),
        (FREE | {"is_yielding": True}, ""),
        (FREE | {"holder": "m2"}, ""),
        (FREE | {"holder": "m2", "claimant": "m1"}, ""),
        ({"is_interrupted": True}, ""),
        (FREE | {"is_interrupted": True}, "take"),
        (FREE | {"holder": "m2", "is_interrupted": True}, "claim"),
        (FREE | {"holder": "m2", "is_interrupted": True, "claimant": "m1"}, ""),
        (FREE | {"holder": "m2", "is_interrupted": True, "claimant": "m3"}, ""),
        (FREE | {"holder": "m2", "is_interrupted": True, "needed": False}, ""),
        (FREE | {"holder": "m2", "is_interrupted": True, "is_yielding": True}, ""),
    ],
)
def test_when_a_machine_takes_the_certificates_or_gives_them_up(seen, act):
    holds = {"machine": "m1", "needed": True, "is_own": True, "holder": "m1"}
    assert role_act(RoleView(**holds | seen)) == act


def test_a_clock_that_is_behind_the_last_order_waits():
    assert "the clock of this machine is behind" in hindrance(
        lineage(), view(ledger_until=NOW + 5), NOW
    )


def test_a_challenge_that_only_one_machine_could_answer_is_refused():
    assert problem(lineage()) == problem(DNS) == ""
    assert "use http-01 or dns-01" in problem(lineage(challenges=(Challenge("tls-alpn-01"),)))


def current(number, serial="1", left=100.0):
    return CurrentLineage(number=number, serial=serial, not_before=NOW - 100, not_after=NOW + left)


def test_only_what_is_newer_or_was_lost_and_is_valid_is_taken():
    shared = {"a": current(2), "b": current(2), "c": current(1), "d": current(9, left=-1)}
    held = dict.fromkeys(shared, NOW - 100)
    known = {"a": 1, "b": 2, "c": 2}
    assert list(to_take(shared, known, held, NOW)) == [("a", 2)]
    assert list(to_take(shared, known, held | {"b": NOW - 500}, NOW)) == [("a", 2), ("b", 2)]
    del held["c"]
    assert list(to_take(shared, known, held, NOW)) == [("a", 2), ("c", 1)]


@pytest.mark.parametrize(
    ("held", "shared", "known", "is_shared"),
    [
        (certificate(serial="2"), None, 0, True),
        (certificate(serial="2"), current(1), 1, True),
        (certificate(serial="1"), current(1), 1, False),
        (certificate(serial="2"), current(2), 1, False),
        (certificate(serial="2", days=-1), None, 0, False),
        (None, None, 0, False),
    ],
)
def test_what_was_obtained_here_is_shared_unless_a_newer_one_is_to_be_taken(
    held, shared, known, is_shared
):
    assert is_to_share(held, shared, known, NOW) is is_shared


def test_lines_of_the_ledger_are_added_once_and_those_of_the_future_later():
    old, new, later = (Entry(NOW + at, "ca", "order", ("a",), "a.c1") for at in (-9, -5, 5))
    shared = {ledger_item(each)[0]: each for each in (later, new, old)}
    known = frozenset({ledger_item(old)[0]})
    assert usable_entries(shared, known, NOW) == [new]
    assert usable_entries(shared, known, NOW + 5) == [new, later]
