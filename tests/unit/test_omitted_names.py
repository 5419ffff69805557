from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.certificate import RenewalState, Trouble
from portico.core.planning import renewal_state
from portico.core.planning.omitted_names import left_out_text, names_to_leave_out, names_to_order
from portico.core.planning.renewal import next_action
from tests.unit.certificates import DAY, HOUR, MINUTE, NOW, certificate, empty_ledger, lineage

BOTH = lineage("a.test", "b.test")
NEW = RenewalState("a.test", served="8765", ask_ari_at=NOW + 1000 * DAY, asked_ari=NOW)
LOST = {"b.test": "no such name"}


def leave_out(memory=NEW, wrong=LOST, *, wanted=BOTH, now=NOW, foreseen=False):
    attempt = renewal_state.Attempt(None, now, 0.0, wanted.settings, foreseen)
    return renewal_state.left_out(memory, wrong, attempt)


def act(held, memory, *, wanted=BOTH, now=NOW):
    return next_action(wanted, held, memory, empty_ledger(now), now)


def test_the_others_are_ordered_at_once_and_all_again_when_it_is_time():
    memory = leave_out()
    action = act(None, memory)
    assert (action.kind, action.names, action.due(NOW)) == ("issue", ("a.test",), True)
    held = certificate("a.test")
    after = renewal_state.after_issuance(memory, held.names)
    after = replace(after, served=held.serial, ask_ari_at=NOW + 1000 * DAY, asked_ari=NOW)
    action = act(held, after)
    assert (action.kind, action.at, action.why) == ("issue", NOW + MINUTE, "a name was left out")
    action = act(held, after, now=NOW + MINUTE)
    assert (action.names, action.due(NOW + MINUTE)) == (BOTH.names, True)
    assert left_out_text(BOTH, after) == "b.test is left out: no such name"
    assert renewal_state.after_issuance(after, BOTH.names).left_out == {}


def test_who_asks_by_hand_and_who_has_changed_a_setting_has_all_names_tried_at_once():
    memory, held = leave_out(), certificate("a.test")
    forced = renewal_state.after_request(memory, NOW + 1)
    assert act(held, forced, now=NOW + 2).names == BOTH.names
    other = replace(BOTH, profile="shortlived")
    action = act(held, memory, wanted=other)
    assert (action.names, action.due(NOW)) == (BOTH.names, True)
    assert left_out_text(other, memory) == ""
    alone = lineage("a.test")
    assert not act(held, memory, wanted=alone).due(NOW + DAY), "it is wanted no more"


def test_attempts_after_an_order_become_rare_and_looks_do_not():
    ordered = looked = NEW
    waits = []
    for _ in range(5):
        ordered, looked = leave_out(ordered), leave_out(looked, foreseen=True)
        waits.append([each.left_out["b.test"].retry_at - NOW for each in (ordered, looked)])
    assert [each for each, _ in waits] == [MINUTE, 10 * MINUTE, 100 * MINUTE, DAY, DAY]
    assert max(each for _, each in waits) <= 15 * MINUTE


@pytest.mark.parametrize(
    ("wrong", "held", "urgent", "left"),
    [
        (["b.test"], None, True, ["b.test"]),
        (["a.test", "b.test"], None, True, []),
        (["elsewhere.test"], None, True, []),
        ([], None, True, []),
        (["b.test"], ["a.test"], False, ["b.test"]),
        (["b.test"], ["a.test", "b.test"], False, []),
        (["b.test"], ["a.test", "b.test"], True, ["b.test"]),
        (["a.test", "b.test"], ["a.test"], False, ["b.test"]),
    ],
)
def test_a_name_with_a_valid_certificate_is_not_left_out_nor_are_all(wrong, held, urgent, left):
    found = names_to_leave_out(
        BOTH, dict.fromkeys(wrong, "x"), held and certificate(*held), urgent=urgent
    )
    assert sorted(found) == left


names = st.sets(st.sampled_from(["a.test", "b.test", "c.test", "d.test"]), min_size=1)


@given(wanted=names, lost=names, waits=st.integers(-3600, 86400))
def test_there_is_always_something_to_order_and_nothing_that_is_not_wanted(wanted, lost, waits):
    site = lineage(*sorted(wanted))
    trouble = Trouble(1, "x", NOW - HOUR, NOW + waits, site.settings)
    tried = names_to_order(site, replace(NEW, left_out=dict.fromkeys(lost, trouble)), NOW)
    assert tried
    assert set(tried) <= wanted
    if waits <= 0 or wanted <= lost:
        assert set(tried) == wanted
    else:
        assert set(tried) == wanted - lost
