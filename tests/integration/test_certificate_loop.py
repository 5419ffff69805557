"""What the keeper does with many certificates at a time, on a clock that the test owns."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from portico.core.model.certificate import Challenge, RenewalState
from portico.core.model.event import EventFilter
from portico.core.model.preflight import Address, Name, PreflightFacts
from portico.engine.certificates.deploy_hooks import DeployHooks
from portico.engine.certificates.deployment import Deployment
from portico.engine.certificates.work_queue import MAX_WORKERS
from portico.engine.changes import Change
from portico.errors import Failed
from portico.ports.certificates import AuthorityError
from tests.fakes.certificates_kept import DIRECTORY, Keeping, desired_of
from tests.fakes.state import events_of
from tests.unit.certificates import DAY, HOUR, lineage

NAMES = [f"www.shop{number}.com" for number in range(70)]


@pytest.fixture
def keeping(tmp_path):
    return Keeping(tmp_path, ["a.example.com", "b.example.com"])


def used(keeping):
    return Counter(entry.kind for entry in keeping.state.ledger_since(0.0))


def wait(keeping, seconds):
    asyncio.run(keeping.clock.advance(seconds))


def test_however_many_are_due_the_authoritys_limit_is_never_passed(tmp_path):
    keeping = Keeping(tmp_path, NAMES)
    limits = {"same_names": "5/7d", "domain": "50/7d", "orders": "60/3h"}
    keeping.desired = desired_of(NAMES, limits=limits)
    keeping.hold_all(age_days=80)
    for _ in range(5):
        keeping.look()
        wait(keeping, HOUR)
    orders = keeping.authority.orders
    for at, _ in orders:
        assert sum(at <= other < at + 3 * HOUR for other, _ in orders) <= 60
    assert {name for _, name in orders} == set(NAMES), "all had their turn"
    assert len(orders) == len(NAMES), "and each of them one"
    assert keeping.authority.most_at_once == MAX_WORKERS


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
    keeping.authority.seen = PreflightFacts((lost,))
    keeping.look()
    assert keeping.authority.orders == []
    assert not used(keeping)
    trouble = keeping.state.renewal_state("a.example.com").last_trouble
    assert "order not placed" in trouble.error
    assert trouble.retry_at == pytest.approx(keeping.clock.now() + 60, abs=0.1)
    assert len(keeping.troubles.sentences()) == 2
    keeping.authority.seen = PreflightFacts()
    wait(keeping, 61)
    keeping.look()
    assert len(keeping.authority.orders) == 2
    assert keeping.troubles.sentences() == []


def refuse(keeping):
    keeping.authority.refused = {"a.example.com"}


def lose(keeping):
    lost = Name("a.example.com", by_address=True, addresses=(Address("1.1.1.1", "refused"),))
    keeping.authority.seen = PreflightFacts((lost,))
    keeping.lineages.hold("b.example.com", at=keeping.clock.now(), serial="2")


def break_it(keeping):
    keeping.authority.bugs = {"a.example.com"}


def let_expire(keeping):
    keeping.lineages.hold("a.example.com", at=keeping.clock.now() - 91 * DAY)
    keeping.authority.refused = {"a.example.com"}


def stop_authority(keeping):
    keeping.authority.down = True
    keeping.lineages.hold("b.example.com", at=keeping.clock.now(), serial="2")


@pytest.mark.parametrize(
    ("fault", "sentences"),
    [(refuse, 1), (lose, 1), (break_it, 1), (let_expire, 2), (stop_authority, 1)],
)
def test_whatever_is_wrong_is_said_once_with_the_name_of_the_certificate(
    keeping, fault, sentences
):
    fault(keeping)
    for _ in range(3):
        keeping.look()
    said = keeping.troubles.sentences()
    assert len(said) == sentences, said
    for each in said:
        assert each.startswith(
            ("certificate a.example.com: ", "work on certificate a.example.com: ")
        )


def test_what_is_foreseen_to_fail_is_looked_at_again_every_few_minutes(keeping):
    lost = Name("a.example.com", by_address=True, addresses=(Address("1.1.1.1", "refused"),))
    keeping.authority.seen = PreflightFacts((lost,))
    waits = []
    for _ in range(20):
        keeping.look()
        now = keeping.clock.now()
        waits.append(keeping.state.renewal_state("a.example.com").last_trouble.retry_at - now)
        wait(keeping, waits[-1] + 1)
    assert max(waits) <= 1.1 * 15 * 60
    assert sum(waits[:5]) <= 1.1 * 21 * 60, "five looks in the first minutes"
    assert keeping.authority.orders == []


@pytest.mark.parametrize(
    "changed",
    [{"email": "ops@example.com"}, {"profile": "shortlived"}, {"key_type": "rsa2048"}],
)
def test_a_changed_setting_is_tried_at_once_after_a_failure_and_the_same_one_is_not(
    keeping, changed
):
    keeping.authority.refused = {"a.example.com"}
    for _ in range(3):
        keeping.look()
        wait(keeping, 700)
    keeping.look()
    asked = len(keeping.authority.orders)
    keeping.desired = desired_of(keeping.names)
    keeping.look()
    assert len(keeping.authority.orders) == asked
    keeping.desired = desired_of(keeping.names, of_sites={"a.example.com": {"tls": changed}})
    keeping.look()
    assert len(keeping.authority.orders) == asked + 1
    failed = keeping.state.renewal_state("a.example.com").last_trouble
    assert failed.failures == 1, "what came before was of other settings"


def test_a_secret_that_is_missing_stops_its_certificate_alone_until_it_is_there(tmp_path):
    keeping = Keeping(tmp_path, ["a.example.com", "b.example.com"])
    secret = tmp_path / "secret"
    dns = {"provider": "rfc2136", "server": "192.0.2.1", "key_name": "k"}
    tls = {"challenge": "dns-01", "dns": {**dns, "secret_file": str(secret)}}
    keeping.desired = desired_of(keeping.names, of_sites={"b.example.com": {"tls": tls}})
    keeping.look()
    assert keeping.lineages.given.keys() == {"a.example.com"}
    (said,) = keeping.troubles.sentences()
    assert said == f"certificate b.example.com: cannot read {secret}: No such file or directory"

    async def by_hand(keeper):
        change = Change("c1", "renew", "b.example.com", frozenset(), 0.0)
        with pytest.raises(Failed, match=r"^b\.example\.com: cannot read"):
            await keeper.renew("b.example.com", change, force=True)
        shown = {view.name: view for view in await keeper.views()}
        assert "cannot read" in shown["b.example.com"].error
        assert shown["b.example.com"].next_at is None

    keeping.do(by_hand)
    secret.write_text("c2VjcmV0")
    keeping.look()
    assert keeping.lineages.given.keys() == {"a.example.com", "b.example.com"}
    assert keeping.troubles.sentences() == []


@pytest.mark.parametrize("foreseen", [True, False])
def test_a_name_that_cannot_be_validated_keeps_no_other_from_its_certificate(keeping, foreseen):
    keeping.desired = desired_of(
        ["a.example.com"], of_sites={"a.example.com": {"aliases": ["old.example.net"]}}
    )
    if foreseen:
        lost = Name("old.example.net", by_address=True, addresses=(Address("1.1.1.1", "refused"),))
        keeping.authority.seen = PreflightFacts((lost,))
    keeping.authority.unproven = {"old.example.net"}

    class LooksAtWhatIsAsked(type(keeping.authority)):
        async def preflight(self, order, folders):
            seen = await super().preflight(order, folders)
            names = order.lineage.names
            return PreflightFacts(tuple(n for n in seen.names if n.name in names))

    keeping.authority.__class__ = LooksAtWhatIsAsked
    keeping.look()
    assert keeping.lineages.given["a.example.com"].names == ("a.example.com",)
    keeping.look()
    (said,) = keeping.troubles.sentences()
    assert said.startswith("certificate a.example.com: old.example.net is left out: ")
    orders = len(keeping.authority.orders)
    assert orders == (1 if foreseen else 2)
    keeping.look()
    assert len(keeping.authority.orders) == orders
    keeping.authority.seen, keeping.authority.unproven = PreflightFacts(), set()
    wait(keeping, 70)
    keeping.look()
    assert keeping.lineages.given["a.example.com"].names == ("a.example.com", "old.example.net")
    keeping.look()
    assert keeping.troubles.sentences() == []


def test_an_authority_that_is_down_is_not_counted_as_asked(keeping):
    keeping.authority.down = True
    keeping.look()
    assert not used(keeping)
    assert keeping.state.renewal_state("a.example.com").troubles[DIRECTORY].failures == 1


def test_limits_that_others_use_up_during_the_look_ahead_are_seen(tmp_path):
    keeping = Keeping(tmp_path, [f"n{number}.example.com" for number in range(52)])

    class Slow(type(keeping.authority)):
        async def preflight(self, *asked):
            for _ in range(20):
                await asyncio.sleep(0)
            return PreflightFacts()

    keeping.authority = Slow(keeping.clock)
    keeping.look()
    assert len(keeping.authority.orders) == 50


@pytest.mark.parametrize("name", ["shop.lan", "203.0.113.1", "ab--cd.example.com"])
def test_a_name_that_nobody_signs_for_is_asked_of_nobody(tmp_path, name):
    keeping = Keeping(tmp_path, [name, "a.example.com"])
    keeping.look()
    assert [who for _, who in keeping.authority.orders] == ["a.example.com"]
    assert keeping.authority.looked == 1
    assert "order not placed" in keeping.state.renewal_state(name).last_trouble.error
    assert any(name in sentence for sentence in keeping.troubles.sentences())


def test_an_authority_that_says_until_when_is_asked_by_nobody_before_and_not_by_force(keeping):
    until = keeping.clock.now() + 3 * HOUR
    keeping.authority.error = AuthorityError("too many", retry_at=until, limited=True)
    keeping.look()
    asked = len(keeping.authority.orders)
    keeping.authority.error = None
    for _ in range(17):
        wait(keeping, 600)
        memory = keeping.state.renewal_state("a.example.com")
        keeping.state.put_renewal_state(replace(memory, forced=keeping.clock.now()))
        keeping.look()
    assert len(keeping.authority.orders) == asked
    wait(keeping, 2 * HOUR)
    keeping.look()
    assert len(keeping.authority.orders) == asked + 2
    assert keeping.troubles.sentences() == []


def test_failures_are_waited_out_over_restarts(keeping):
    keeping.authority.refused = {"a.example.com", "b.example.com"}
    for _ in range(2 * 24 * 6):
        keeping.look()  # each time by a new keeper, with nothing but the database
        wait(keeping, 600)
    assert len(keeping.authority.orders) == 2 * 5, "at once, then 1, 10, 100 minutes, a day"


@pytest.mark.parametrize(
    ("window", "renewed"),
    [
        ((-2.0, -1.0), True),
        ((20.0, 21.0), False),
        ((5.0, 4.0), False),
        ((1000.0, 1001.0), False),
        (None, False),
    ],
)
def test_a_window_is_obeyed_where_it_makes_sense_and_an_order_names_what_it_follows(
    keeping, window, renewed
):
    held = keeping.lineages.hold(
        "a.example.com", at=keeping.clock.now() - 30 * DAY, ari_id="issuer.serial"
    )
    keeping.state.put_renewal_state(RenewalState("a.example.com", served=held.serial))
    now = keeping.clock.now()
    keeping.authority.window = window and (now + window[0] * DAY, now + window[1] * DAY)
    keeping.look()
    keeping.look()
    mine = [
        replaces
        for (_, name), replaces in zip(
            keeping.authority.orders, keeping.authority.replaced, strict=True
        )
        if name == "a.example.com"
    ]
    assert mine == (["issuer.serial"] if renewed else [])


@pytest.mark.parametrize("days", [160 / 24, 45, 90, 200])
def test_a_leaf_of_any_lifetime_is_renewed_once_and_in_time(keeping, days):
    for name in keeping.names:
        held = keeping.lineages.hold(name, at=keeping.clock.now(), days=days)
        keeping.state.put_renewal_state(RenewalState(name, served=held.serial))
    last = held.not_after
    while len(keeping.authority.orders) < 2:
        keeping.look()
        wait(keeping, days * DAY / 50)
    assert keeping.clock.now() < last
    assert keeping.clock.now() > last - 0.56 * days * DAY


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
    assert [text.split("UTC")[1] for text in said] == [
        "; renewal is late and has failed",
        ", with less than a quarter of its lifetime left",
        ", with less than a tenth of its lifetime left",
        "; browsers reject it",
    ]
    assert any("expired" in sentence for sentence in keeping.troubles.sentences())
    keeping.authority.down = False
    wait(keeping, 2 * DAY)
    keeping.look()
    assert keeping.lineages.current("a.example.com") != held
    keeping.look()
    assert keeping.troubles.sentences() == []


def test_what_a_killed_daemon_has_left_of_an_order_is_removed_when_its_certificate_is_served(
    keeping,
):
    keeping.lineages.hold("a.example.com", at=keeping.clock.now(), generation=4)
    keeping.look()
    assert {"a.example.com.4", "a.example.com.4.staging"} <= set(keeping.authority.forgotten)
    assert [name for _, name in keeping.authority.orders] == ["b.example.com"]


def test_a_daemon_that_dies_in_a_hook_leaves_the_deploy_to_be_done_again(keeping):
    recorded = []

    class Dying:
        async def run(self, command, environ, deadline):
            recorded.append(keeping.state.renewal_state("a.example.com").served)
            return "killed"

    held = keeping.lineages.hold("a.example.com", at=keeping.clock.now())
    wanted = lineage("a.example.com", hooks=(("reload",),), challenges=(Challenge("standalone"),))
    engine = SimpleNamespace(
        clock=keeping.clock,
        events=events_of(keeping.state, keeping.clock),
        intent=None,
        state=keeping.state,
        troubles=keeping.troubles,
    )
    hooks = DeployHooks(engine, hooks=Dying(), lineages=keeping.lineages, pem_files=keeping.hooks)
    deploying = Deployment(engine, None, hooks, lineages=keeping.lineages, sites=None)
    asyncio.run(deploying.finish(replace(wanted, behind_nginx=False)))
    [said] = keeping.troubles.sentences()
    assert said.startswith("the hook of a.example.com failed: killed")
    assert recorded == [""], "nothing is recorded before it has run"
    assert keeping.state.renewal_state("a.example.com").served == held.serial
    assert (
        _events(keeping)[-1].kind,
        _events(keeping)[-1].text.startswith("obtained, valid"),
    ) == (
        "certificate",
        True,
    )


def test_what_an_authority_notes_on_the_way_is_an_event_but_not_of_staging(keeping):
    keeping.names = ("a.example.com",)
    keeping.desired = desired_of(keeping.names, staging="https://staging.test/directory")
    keeping.authority.notes = ["no chain was issued by X; available: Y"]
    keeping.look()
    assert len(keeping.authority.orders) == 2, "one of staging"
    assert [(each.kind, each.subject, each.text) for each in _events(keeping)] == [
        ("certificate", "a.example.com", keeping.authority.notes[0])
    ]


def _events(keeping):
    return keeping.state.events(EventFilter(), 100)


def test_all_that_are_due_for_deployment_together_are_one_batch(tmp_path):
    keeping = Keeping(tmp_path, NAMES[:50])
    for name in keeping.names:
        keeping.lineages.hold(name, at=keeping.clock.now())
    assert keeping.look() == [sorted(keeping.names)]
    assert {keeping.state.renewal_state(name).served for name in keeping.names} == {"1"}
    assert keeping.authority.orders == []


def test_what_is_obtained_during_a_batch_is_deployed_by_the_next_one(tmp_path):
    keeping = Keeping(tmp_path, NAMES[:40])
    keeping.lineages.hold(NAMES[0], at=keeping.clock.now())
    first, *others = keeping.look(batch_takes=10)
    assert first == [NAMES[0]]
    assert len(others) < 20
    assert sorted(itertools.chain.from_iterable(others)) == sorted(NAMES[1:40])


def test_whoever_asks_for_all_to_be_renewed_waits_for_none_to_be_alone(tmp_path):
    keeping = Keeping(tmp_path, NAMES[:20])
    keeping.hold_all(age_days=5)
    change = Change("c1", "renew", "all", frozenset(), 0.0)

    async def renew(keeper):
        following = asyncio.create_task(keeper.renew(None, change, force=True))
        while not following.done():
            await keeping.clock.advance(0.2)
        await following

    batches = keeping.do(renew)
    assert sum(": renewed, valid until 20" in line for line in change.lines) == 20
    assert len(keeping.authority.orders) == 20
    assert len(batches) < 10


def test_a_bug_in_the_care_of_one_certificate_leaves_the_others_and_is_not_repeated_at_once(
    keeping,
):
    keeping.authority.bugs = {"a.example.com"}

    async def looks(keeper):
        for _ in range(3):
            await keeper.look()
            while len(asyncio.all_tasks()) > 1:
                await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=20)

    keeping.do(looks)
    ordered = [name for _, name in keeping.authority.orders]
    assert sorted(ordered) == ["a.example.com", "b.example.com"]
    (said,) = keeping.troubles.sentences()
    assert said.startswith(
        "work on certificate a.example.com: internal error (a bug in portico), LookupError("
    )
    keeping.authority.bugs = set()
    keeping.look()  # as the next daemon does
    assert keeping.troubles.sentences() == []
