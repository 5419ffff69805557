"""Certificates of a cluster with a store, over machines without nginx."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from portico.core.model.certificate import Entry
from portico.core.model.shared import ISSUER_CLAIM_KEY, Holder, encode
from portico.core.model.shared_certificates import ledger_item
from portico.core.planning.mirroring import prefix_of
from portico.engine.certificates.account import ROLLOVER, ROLLOVER_BEGUN, THUMBPRINT
from portico.engine.certificates.loop import ANSWER_TIMEOUT
from portico.engine.changes import Change
from portico.errors import Failed, Refused
from tests.examples import examples
from tests.fakes.certificates_shared import CLUSTER, DIRECTORY, STEPS, Cluster, KilledError
from tests.unit.certificates import DAY, HOUR

NAME = "a.example.com"


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path, NAME)
    yield cluster
    cluster.close()


def test_one_machine_orders_and_all_serve_what_came(cluster):
    cluster.run(cluster.look())
    assert len(cluster.authority.orders) == 1
    assert [each.lineages.given[NAME].serial for each in cluster.machines] == ["1"] * 3
    assert len({each.authorities.account["key.pem"] for each in cluster.machines}) == 1
    for each in cluster.machines:
        assert [e.kind for e in each.state.ledger_since(0.0)] == ["order", "certificate"]
    assert cluster.store.peek(f"{prefix_of(CLUSTER)}orders/{NAME}") is None


@pytest.mark.parametrize("step", STEPS)
def test_where_the_machine_dies_in_the_middle_another_one_ends_the_same_order(cluster, step):
    async def die_in_the_middle():
        for each in cluster.machines:
            each.dies_at = step
        await cluster.look()
        for each in cluster.machines:
            each.dies_at = ""
        await cluster.wait(20)
        await cluster.look()

    async def come_back():
        [dead] = set(cluster.machines) - {*alive}
        dead.start()
        await cluster.wait(6)
        await cluster.look()

    cluster.run(die_in_the_middle())
    alive = [each for each in cluster.machines if each.runs]
    assert len(alive) == 2
    assert len(cluster.authority.orders) == 1
    assert [each.serial for each in alive] == [1, 1]
    assert list(cluster.authority.signed.values()) == ["1"]
    cluster.run(come_back())
    assert [(each.serial, each.counted) for each in cluster.machines] == [(1, 1)] * 3


def test_where_only_its_daemon_dies_and_another_machine_ends_the_order_it_counts_once(cluster):
    first = cluster.machines[0]
    first.dies_at = "stored"

    async def run():
        for _ in range(6):
            if first.runs:
                await cluster.look(1)
        assert not first.runs
        first.start()
        await cluster.wait(2)
        await first.look()  # it has no role yet, and shares what it has counted
        await cluster.wait(20)
        await cluster.machines[1].look()
        await cluster.look()

    cluster.run(run())
    assert len(cluster.authority.orders) == 1
    assert [(each.serial, each.counted) for each in cluster.machines] == [(1, 1)] * 3


def test_without_a_store_nothing_is_ordered_and_what_is_served_stays(cluster):
    async def run():
        await cluster.look()
        cluster.store.fail("down")
        await cluster.wait(70 * DAY)
        await cluster.look()

    cluster.run(run())
    assert len(cluster.authority.orders) == 1
    assert [each.serial for each in cluster.machines] == [1, 1, 1]
    [why] = {each.next.why.partition("; ")[2] for each in cluster.machines}
    assert why == (
        "the store of the cluster is not available: cannot reach the store of the cluster: down"
    )


def test_what_machines_obtained_before_counts_and_one_of_their_certificates_is_kept(cluster):
    first, second, _ = cluster.machines
    for each, serial in ((first, 3), (second, 4)):
        each.obtained_before(serial)

    cluster.run(cluster.look())
    assert cluster.authority.orders == []
    assert len({each.serial for each in cluster.machines} & {3, 4}) == 1
    assert [each.counted for each in cluster.machines] == [2, 2, 2]


def test_a_machine_that_joins_has_the_certificates_before_its_sites_are_served(cluster):
    async def run():
        await cluster.look()
        new = cluster.machine("m4")
        new.start(follows=False)
        assert await new.shared.follower.read()
        await new.shared.take_before_serving()
        assert new.lineages.given[NAME].serial == "1"
        assert new.state.setting(THUMBPRINT) == cluster.machines[0].state.setting(THUMBPRINT)

    cluster.run(run())


def test_what_a_machine_has_lost_it_takes_again(cluster):
    async def run():
        await cluster.look()
        lost = cluster.machines[1].lineages
        lost.newest.clear()
        lost.given.clear()
        await cluster.look()

    cluster.run(run())
    assert [each.serial for each in cluster.machines] == [1, 1, 1]
    assert len(cluster.authority.orders) == 1


def test_a_certificate_that_is_forgotten_on_a_machine_is_not_taken_again(cluster):
    second = cluster.machines[1]

    async def run():
        await cluster.look()
        cluster.name = "b.example.com"
        for each in cluster.machines:
            each.kill()
            each.start()
        await cluster.look()
        del second.lineages.newest[NAME], second.lineages.given[NAME]
        await cluster.look(2)

    cluster.run(run())
    assert NAME not in second.lineages.newest
    assert cluster.keys("current/") == {NAME, "b.example.com"}


@pytest.mark.parametrize("is_answered", [False, True])
def test_an_account_key_that_is_lost_where_no_certificates_are_obtained_is_taken_again(
    cluster, is_answered
):
    first, second, _ = cluster.machines

    async def run():
        await cluster.look()
        second.authorities.account.clear()
        if is_answered:  # as `certs renew` there does
            await second.loop.account.publish_thumbprint(await second.loop.wanted_lineages())
        await cluster.look()
        await renewed_by(first)

    cluster.run(run())
    assert second.authorities.account == first.authorities.account
    assert [each.serial for each in cluster.machines] == [2, 2, 2]


def test_what_no_site_uses_is_removed_from_the_store_when_it_has_expired(cluster):
    async def run():
        await cluster.look()
        cluster.name = "b.example.com"
        for each in cluster.machines:
            each.kill()
            each.start()
        await cluster.look()
        assert cluster.keys(f"lineages/{NAME}/") == {"1"}
        await cluster.wait(100 * DAY)
        await cluster.look()

    cluster.run(run())
    assert cluster.keys(f"lineages/{NAME}/") == cluster.keys(f"current/{NAME}") == set()
    assert cluster.keys(f"failures/{NAME}") == set()
    assert cluster.keys("current/") == {"b.example.com"}
    assert min(cluster.keys("ledger/")) > f"{cluster.clock.now() - 30 * DAY:.0f}"


def test_what_is_left_of_a_site_that_never_had_a_certificate_is_removed_from_the_store(cluster):
    async def run():
        cluster.authority.refuses = True
        await cluster.look()
        assert cluster.keys("orders/") == cluster.keys("failures/") == {NAME}
        cluster.authority.refuses = False
        cluster.name = "b.example.com"
        for each in cluster.machines:
            each.kill()
            each.start()
        await cluster.wait(20)
        await cluster.look()

    cluster.run(run())
    assert cluster.keys("orders/") == set()
    assert cluster.keys("failures/") <= {"b.example.com"}


def test_a_line_of_the_ledger_that_nothing_counts_any_more_is_not_written_again(cluster):
    async def run():
        await cluster.look()
        await cluster.wait(31 * DAY)
        await cluster.look()
        for _ in range(3):
            await cluster.look(1)
            assert cluster.keys("ledger/") == set()

    cluster.run(run())


def test_an_issuer_that_cannot_read_what_is_shared_leaves_it_to_others(cluster):
    first = cluster.machines[0]

    async def run():
        await cluster.look()
        first.vault.key = "another"
        await cluster.wait(70 * DAY)
        first.kill()
        await cluster.wait(20)
        await cluster.look()
        first.start()
        await cluster.look()

    cluster.run(run())
    assert [each.serial for each in cluster.machines] == [1, 2, 2]
    assert any("encrypted with another key" in each for each in first.troubles.sentences())


def renewed_by(machine, said=None):
    """`renew --force` there, while all machines run."""
    change = Change("c1", "renew", NAME, frozenset(), 0.0, lines=said if said is not None else [])
    return machine.cluster.meanwhile(machine.loop.renew(NAME, change, force=True))


def failing(why):
    async def fail(*_):
        raise Failed(why)

    return fail


async def key_replaced_by(machine):
    """`certs rollover` there."""
    await machine.loop.take_role(Change("c1", "rollover", "", frozenset(), 0.0))
    await machine.loop.account.roll_over(await machine.loop.wanted_lineages())


def test_a_command_on_another_machine_has_that_one_obtain_once_the_orders_before_have_ended(
    cluster,
):
    first, second, _ = cluster.machines
    said = []

    async def run():
        await cluster.look()
        first.sharing.is_busy = lambda: True
        renewing = asyncio.ensure_future(renewed_by(second, said))
        await cluster.look(2)
        assert first.next.why.endswith("m2 is about to obtain the certificates of the cluster")
        assert len(cluster.authority.orders) == 1
        first.sharing.is_busy = bool
        await renewing

    cluster.run(run())
    assert said[0] == "waiting until m1 lets this machine obtain the certificates"
    assert [machine for machine, _ in cluster.authority.orders] == ["m1", "m2"]
    assert [each.serial for each in cluster.machines] == [2, 2, 2]
    assert cluster.keys("issuer") == {""}


def test_a_command_waits_until_all_machines_answer_for_the_account(cluster):
    first, _, third = cluster.machines
    said = []

    async def run():
        await cluster.look()
        third.sharing.answering_thumbprint = lambda: "the account of before"
        await cluster.look(2)
        renewing = asyncio.ensure_future(renewed_by(first, said))
        await cluster.look(2)
        assert len(cluster.authority.orders) == 1
        del third.sharing.answering_thumbprint
        await renewing

    cluster.run(run())
    assert "waiting: m3 cannot answer the authority yet" in said
    assert [each.serial for each in cluster.machines] == [2, 2, 2]


def test_many_certificates_wait_once_for_a_machine_that_never_answers(cluster):
    first, _, third = cluster.machines
    change = Change("c1", "renew", "", frozenset(), 0.0)

    async def prepared():
        begun = cluster.clock.monotonic()
        await first.loop.prepare_to_obtain([first.lineage] * 5, change)
        return cluster.clock.monotonic() - begun

    async def run():
        await cluster.look()
        third.sharing.answering_thumbprint = lambda: "the account of before"
        await cluster.look(2)
        preparing = asyncio.ensure_future(prepared())
        await cluster.meanwhile(preparing)
        assert preparing.result() < 2 * ANSWER_TIMEOUT
        with pytest.raises(Refused, match=r"cannot try .*: m3 cannot answer the authority yet"):
            first.loop.assert_obtained_here(first.lineage, "try")

    cluster.run(run())


def test_where_it_is_not_handed_over_the_command_is_refused_and_nothing_is_left_of_it(cluster):
    first, second, _ = cluster.machines

    async def run():
        await cluster.look()
        first.sharing.is_busy = lambda: True
        with pytest.raises(Refused, match=r"^m1 obtains .*; nothing was changed\. .* on m1$"):
            await renewed_by(second)

    cluster.run(run())
    assert cluster.keys("issuer") == {""}
    assert len(cluster.authority.orders) == 1


def test_the_key_of_the_account_is_replaced_by_whichever_machine_is_told_to(cluster):
    third = cluster.machines[2]

    async def run():
        await cluster.look()
        await cluster.meanwhile(key_replaced_by(third))
        await cluster.look()
        await renewed_by(cluster.machines[0])

    cluster.run(run())
    assert {each.authorities.account["key.pem"] for each in cluster.machines} == {
        "new account of m3"
    }
    assert [each.serial for each in cluster.machines] == [2, 2, 2]


def test_an_interrupted_replacement_of_the_key_ends_once_its_machine_obtains_the_certificates(
    cluster,
):
    first, second, _ = cluster.machines

    async def run():
        await cluster.look()
        await renewed_by(second)
        before = dict(first.authorities.account)
        first.state.put_setting(ROLLOVER, ROLLOVER_BEGUN)
        await first.look()
        assert first.authorities.account == before, "only the new key would reach the account"
        await cluster.look(4)
        assert first.sharing.is_issuer()
        assert first.state.setting(ROLLOVER) == ""
        await renewed_by(second)

    cluster.run(run())
    assert {each.authorities.account["key.pem"] for each in cluster.machines} == {
        "new account of m1"
    }
    assert [machine for machine, _ in cluster.authority.orders] == ["m1", "m2", "m2"]
    assert cluster.keys("issuer") == {""}, "no claim is left"


@pytest.mark.parametrize("is_account_changed", [False, True])
def test_a_key_that_was_replaced_on_a_machine_that_is_cut_off_is_given_to_all_when_it_is_back(
    cluster, is_account_changed
):
    first, second, _ = cluster.machines
    first.authorities.on_replaced = lambda: setattr(first.reach, "cut", True)

    async def run():
        await cluster.look()
        with pytest.raises(Failed, match="replaced, and is not in the store of the cluster"):
            await cluster.meanwhile(key_replaced_by(first))
        await cluster.wait(20)
        await cluster.look()
        await renewed_by(second)
        if is_account_changed:
            second.authorities.account["key.json"] = "of another authority"
            await cluster.look(2)
        first.reach.cut = False
        await cluster.wait(20)
        await cluster.look()
        await renewed_by(first)

    cluster.run(run())
    assert {each.authorities.account["key.pem"] for each in cluster.machines} == {
        "new account of m1"
    }
    assert [each.serial for each in cluster.machines] == [3, 3, 3]


@pytest.mark.parametrize("step", ["shared", "replaced"])
def test_a_machine_that_is_lost_for_good_while_it_replaces_the_key_leaves_the_new_one(
    cluster, step
):
    first, second, third = cluster.machines
    first.dies_at = step

    async def run():
        await cluster.look()
        with pytest.raises(KilledError):
            await cluster.meanwhile(key_replaced_by(first))
        await cluster.wait(20)
        await cluster.look()
        await renewed_by(third)

    cluster.run(run())
    for each in (second, third):
        assert each.authorities.account == {"key.pem": "new account of m1"}
        assert each.state.setting(ROLLOVER) == ""
        assert each.serial == 2


def test_no_authority_is_asked_while_the_new_key_cannot_be_shared(cluster):
    first, second, _ = cluster.machines

    async def run():
        await cluster.look()
        first.vault.seal = failing("no memory is left")
        with pytest.raises(Failed, match=r"is not replaced yet: .*no memory is left"):
            await cluster.meanwhile(key_replaced_by(first))
        assert cluster.authority.replaced == set()
        del first.vault.seal
        await cluster.look()
        await renewed_by(second)

    cluster.run(run())
    assert second.authorities.account == {"key.pem": "new account of m1"}


def test_a_replacement_of_the_key_that_another_machine_has_made_meanwhile_counts(cluster):
    first, second, _ = cluster.machines

    async def run():
        await cluster.look()
        first.state.put_setting(ROLLOVER, ROLLOVER_BEGUN)
        first.reach.cut = True
        await cluster.wait(20)
        await cluster.meanwhile(key_replaced_by(second))
        first.reach.cut = False
        await cluster.wait(20)
        await cluster.look()
        await renewed_by(second)

    cluster.run(run())
    assert [each.serial for each in cluster.machines] == [2, 2, 2]
    assert len({each.authorities.account["key.pem"] for each in cluster.machines}) == 1


def test_a_replacement_that_was_shared_counts_more_than_one_that_was_only_begun_before(cluster):
    first, second, third = cluster.machines
    second.dies_at = "replaced"

    async def run():
        await cluster.look()
        first.state.put_setting(ROLLOVER, ROLLOVER_BEGUN)
        first.authorities.account["key.pem.new"] = "a key that no other machine has"
        first.reach.cut = True
        await cluster.wait(20)
        with pytest.raises(KilledError):
            await cluster.meanwhile(key_replaced_by(second))
        third.kill()
        first.reach.cut = False
        await cluster.wait(20)
        await cluster.look()
        await renewed_by(first)

    cluster.run(run())
    assert first.authorities.account == {"key.pem": "new account of m2"}
    assert first.state.setting(ROLLOVER) == ""
    assert first.serial == 2


def test_a_claim_of_the_machine_that_has_the_role_already_is_removed(cluster):
    claim = encode(Holder(machine="m1"))

    async def run():
        await cluster.look(2)
        cluster.store.write({prefix_of(CLUSTER) + ISSUER_CLAIM_KEY: claim})
        await cluster.wait(6)
        assert cluster.machines[1].next.why.endswith("m1 obtains the certificates of the cluster")
        await cluster.look(1)

    cluster.run(run())
    assert cluster.keys("issuer") == {""}


def test_after_a_restored_store_all_machines_have_the_account_that_it_has(cluster):
    third = cluster.machines[2]

    def accounts():
        return {each.authorities.account["key.pem"] for each in cluster.machines}

    async def run():
        await cluster.look()
        older = cluster.store.all
        await cluster.meanwhile(key_replaced_by(third))
        await cluster.look()
        assert accounts() == {"new account of m3"}
        await renewed_by(cluster.machines[0])
        cluster.store.replace(older)
        await cluster.wait(6)
        for each in cluster.machines:
            each.shared.follower.accept(cluster.store.all)
        await cluster.look()

    cluster.run(run())
    assert accounts() == {"account of m1"}


def test_a_line_of_the_ledger_that_another_portico_wrote_counts_once(cluster):
    at = cluster.clock.now()
    entry = Entry(at, DIRECTORY, "order", (NAME,), "order of another")

    async def run():
        await cluster.look()
        _, value = ledger_item(entry)
        newer = value[:-1] + b',"field":1}'
        cluster.store.write({f"{prefix_of(CLUSTER)}ledger/{at:.0f}-0123": newer})
        await cluster.look()

    cluster.run(run())
    for each in cluster.machines:
        assert [e.order for e in each.state.ledger_since(0.0)].count(entry.order) == 1
    items = cluster.store.all.items.items()
    assert [key[-4:] for key, item in items if entry.order.encode() in item.value] == ["0123"]


def test_a_machine_that_reaches_no_authority_leaves_the_orders_to_another_one(cluster):
    first = cluster.machines[0]
    first.authorities.is_cut = True

    async def run():
        await cluster.look()
        assert cluster.authority.orders == []
        await cluster.wait(70)
        await cluster.look(3)
        assert first.sharing.hindrance(first.lineage).startswith("m2 obtains")
        await renewed_by(cluster.machines[1])

    cluster.run(run())
    assert [machine for machine, _ in cluster.authority.orders] == ["m2"]
    assert [each.serial for each in cluster.machines] == [1, 1, 1]


class Machines(RuleBasedStateMachine):
    """Whatever happens to machines and the store, in whatever order."""

    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        self.cluster = Cluster(Path(self.folder.name), NAME)
        self.served = [0, 0, 0]

    @rule(number=st.integers(0, 2))
    def look(self, number):
        machine = self.cluster.machines[number]
        if machine.runs:
            self.cluster.run(machine.look())

    @rule(seconds=st.sampled_from([6, 20, HOUR, 61 * DAY]))
    def wait(self, seconds):
        self.cluster.run(self.cluster.wait(seconds))

    @rule(number=st.integers(0, 2), step=st.sampled_from(STEPS))
    def die_at(self, number, step):
        self.cluster.machines[number].dies_at = step

    @rule(number=st.integers(0, 2))
    def kill_or_start(self, number):
        machine = self.cluster.machines[number]
        self.cluster.run(machine.killed() if machine.runs else machine.started())

    @rule(number=st.integers(0, 2))
    def cut_or_mend(self, number):
        machine = self.cluster.machines[number]
        machine.reach.cut = machine.runs and not machine.reach.cut

    @rule()
    def lose_the_store_or_have_it_back(self):
        self.cluster.store.fail("" if self.cluster.store.trouble else "down")

    @rule(refuses=st.booleans())
    def refuse(self, refuses):
        self.cluster.authority.refuses = refuses

    @invariant()
    def no_certificate_is_replaced_by_an_older_one(self):
        now = [each.serial for each in self.cluster.machines]
        assert all(a <= b for a, b in zip(self.served, now, strict=True)), (self.served, now)
        self.served = now

    @invariant()
    def no_more_is_signed_than_is_counted_somewhere(self):
        assert len(self.cluster.authority.signed) <= len(self.cluster.order_names())

    def teardown(self):
        """Once all is well again every machine serves the same certificate."""

        async def run():
            self.cluster.store.fail("")
            self.cluster.authority.refuses = False
            for each in self.cluster.machines:
                each.dies_at, each.reach.cut = "", not each.runs
                if not each.runs:
                    await each.started()
            await self.cluster.wait(HOUR)
            await self.cluster.look()
            await self.cluster.wait(2 * DAY)
            await self.cluster.look()

        self.cluster.run(run())
        serials = {each.serial for each in self.cluster.machines}
        assert len(serials) == 1, [each.troubles.sentences() for each in self.cluster.machines]
        assert serials != {0}
        self.cluster.close()
        self.folder.cleanup()


TestMachines = Machines.TestCase
TestMachines.settings = settings(examples(15), stateful_step_count=30)
