"""What the keeper does with many certificates at a time, on a clock that the test owns."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace

import pytest

from portico.core.planning.preflight import Address, Name, Seen
from portico.engine.certificates import AT_ONCE
from tests.fakes.keeping import DIRECTORY, Keeping
from tests.unit.certificates import DAY, HOUR

MOST = 300
NAMES = [f"www.shop{number}.com" for number in range(350)]


@pytest.fixture
def keeping(tmp_path):
    return Keeping(tmp_path, ["a.example.com", "b.example.com"])


def used(keeping):
    return Counter(entry.kind for entry in keeping.state.ledger_since(0.0))


def wait(keeping, seconds):
    asyncio.run(keeping.clock.advance(seconds))


def test_however_many_are_due_the_authoritys_limit_is_never_passed(tmp_path):
    keeping = Keeping(tmp_path, NAMES)
    keeping.hold_all(age_days=80)
    for _ in range(5):
        keeping.look()
        wait(keeping, HOUR)
    orders = keeping.authority.orders
    for at, _ in orders:
        assert sum(at <= other < at + 3 * HOUR for other, _ in orders) <= MOST
    assert {name for _, name in orders} == set(NAMES), "all had their turn"
    assert len(orders) == len(NAMES), "and each of them one"
    assert keeping.authority.most_at_once == AT_ONCE


def test_a_domain_with_many_names_is_held_to_its_own_limit(tmp_path):
    keeping = Keeping(tmp_path, [f"n{number}.example.com" for number in range(60)])
    keeping.look()
    assert len(keeping.authority.orders) == 50


def test_one_that_fails_holds_up_no_other_and_is_tried_again_later(keeping):
    keeping.authority.refused = {"a.example.com"}
    keeping.look()
    assert keeping.lineages.given.keys() == {"b.example.com"}
    keeping.look()
    assert len(keeping.authority.orders) == 2, "it waits"
    keeping.authority.refused.clear()
    wait(keeping, 120)
    keeping.look()
    assert keeping.lineages.given.keys() == {"a.example.com", "b.example.com"}
    assert keeping.troubles.sentences() == []


def test_what_is_foreseen_to_fail_is_remembered_and_costs_nothing(keeping):
    lost = Name("a.example.com", by_address=True, addresses=(Address("1.1.1.1", "refused"),))
    keeping.authority.seen = Seen((lost,))
    keeping.look()
    assert keeping.authority.orders == []
    assert not used(keeping)
    trouble = keeping.state.memory("a.example.com").last_trouble
    assert "no order was sent" in trouble.error
    assert trouble.retry_at == pytest.approx(keeping.clock.now() + 60, abs=0.1)
    assert len(keeping.troubles.sentences()) == 2
    keeping.authority.seen = Seen()
    wait(keeping, 61)
    keeping.look()
    assert len(keeping.authority.orders) == 2
    assert keeping.troubles.sentences() == []


def test_an_authority_that_is_down_is_not_counted_as_asked(keeping):
    keeping.authority.down = True
    keeping.look()
    assert not used(keeping)
    assert keeping.state.memory("a.example.com").troubles[DIRECTORY].failures == 1


def test_limits_that_others_use_up_during_the_look_ahead_are_seen(tmp_path):
    keeping = Keeping(tmp_path, [f"n{number}.example.com" for number in range(52)])

    class Slow(type(keeping.authority)):
        async def preflight(self, *asked):
            for _ in range(20):
                await asyncio.sleep(0)
            return Seen()

    keeping.authority = Slow(keeping.clock)
    keeping.look()
    assert len(keeping.authority.orders) == 50


def test_a_warning_is_logged_once_at_each_threshold_and_stands_until_it_is_over(keeping, caplog):
    held = keeping.lineages.hold("a.example.com", at=keeping.clock.now() - 1)
    keeping.desired = replace(keeping.desired)
    keeping.authority.down = True
    said = []
    with caplog.at_level(logging.WARNING):
        for _ in range(95):
            wait(keeping, DAY)
            keeping.look()
        said = [r.getMessage() for r in caplog.records if "expiry of a.ex" in r.getMessage()]
    assert [text.split(":")[1].split(" ")[1:5] for text in said] == [
        ["renewing", "its", "certificate", "is"],
        ["less", "than", "a", "quarter"],
        ["less", "than", "a", "tenth"],
        ["its", "certificate", "expired", "at"],
    ]
    assert any("expired" in sentence for sentence in keeping.troubles.sentences())
    keeping.authority.down = False
    wait(keeping, 2 * DAY)
    keeping.look()
    assert keeping.lineages.current("a.example.com") != held
    keeping.look()
    assert keeping.troubles.sentences() == []
