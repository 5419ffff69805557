"""Tokens are used once and names are given once, whichever machines are asked at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from portico.core.model.cluster import SignedMachine
from portico.core.model.event import Requester
from portico.core.model.joining import JoinAnswer, JoinRequest, Token
from portico.core.model.member_views import ClusterRequest, EtcdMemberRequest
from portico.core.model.shared import (
    CLUSTER_KEY,
    KEEPER_KEY,
    ClusterRecord,
    Keeper,
    SharedMachine,
    encode,
)
from portico.core.model.snapshot import Compare, Put, StoreMember, StoreUser, Write
from portico.core.planning.members import member_list
from portico.core.planning.store_permissions import machine_permissions
from portico.engine.cluster.admission import Admission
from portico.engine.cluster.authority import SEALED_AUTHORITY_KEY, ClusterAuthority
from portico.engine.cluster.cluster_creation import ClusterCreation
from portico.engine.cluster.etcd_members import EtcdMembers
from portico.engine.cluster.machine_users import MachineUsers
from portico.engine.cluster.store_addresses import StoreAddresses
from portico.engine.cluster.store_follower import StoreFollower
from portico.engine.troubles import Troubles
from portico.errors import Failed, NotFound, PorticoError, Refused
from portico.ports.store import OutcomeUnknown, Store, StoreUnavailable
from portico.system.cluster_identity import AUTHORITY, AUTHORITY_KEY
from portico.system.cluster_store import (
    StoreFile,
    read_store,
    write_cluster_key,
    write_store,
)
from portico.system.home import Home
from portico.system.machine_certificates import MachineAuthority
from tests.fakes.clock import FakeClock, VirtualLoop, settle
from tests.fakes.state import MemoryState
from tests.fakes.store import FakeStore
from tests.fakes.vault import FakeVault

CLUSTER = "6a1c"
CLIENT_4 = "https://10.0.0.4:2379"
WHO = Requester("root", 0, 1, "portico")
STORE = StoreFile(("https://10.0.0.1:2379",), "m", "secret")


class Signing:
    """Signs for all, with another serial each time."""

    serial = 16

    async def sign_machine(
        self, authority: str, key: str, request: str, name: str, address: str = ""
    ) -> SignedMachine:
        assert "CERTIFICATE" in authority
        assert "PRIVATE KEY" in key
        await asyncio.sleep(0)
        if request != "PEM":
            raise Failed(f"cannot sign for machine {name}: the signing request cannot be read")
        self.serial += 1
        return SignedMachine("signed", f"{self.serial:x}")


class Member:
    """As much of a daemon as answers machines that join."""

    def __init__(self, name: str, store: FakeStore, clock: FakeClock, home: Home) -> None:
        self.machine, self.cluster, self.store, self.clock = name, CLUSTER, store, clock
        self.revisions: dict[str, object] = {}
        self.is_replaced = False
        self.serial, self.session = name[1:], SimpleNamespace(number=0)
        self.follower = StoreFollower(
            CLUSTER, store=store, state=MemoryState(), troubles=Troubles(), clock=clock
        )
        engine = SimpleNamespace(
            intent=self, events=SimpleNamespace(note=lambda *_: None), clock=clock
        )
        vault = FakeVault()
        self.asked_by: list[str] = []
        """Names of users by whom the store was opened."""

        def open_as(user: StoreUser) -> FakeStore:
            self.asked_by.append(user.name)
            return store

        self.users = MachineUsers(self, vault, open_as, lambda: bytes(32))
        self.signing = Signing()
        authority = ClusterAuthority(self, vault, self.signing, home)
        self.admission = Admission(engine, self, self, authority, self.users, home)
        self.etcd = EtcdMembers(self, authority, self.users, engine.events, home)

    async def serve_members(self) -> None: ...

    def is_member(self) -> bool:
        serial = self.machines.get(self.machine)
        return serial is not None and (serial == self.serial or not self.is_replaced)

    def assert_member(self) -> None:
        if not self.is_member():
            raise StoreUnavailable(f"{self.machine} was removed from its cluster, or replaced")

    async def transaction(
        self, compares: Sequence[Compare], writes: Sequence[Write], store: Store | None = None
    ) -> int | None:
        self.follower.assert_current()
        prefix = self.follower.prefix
        return await (store or self.store).transaction(
            [replace(each, key=prefix + each.key) for each in compares],
            [replace(each, key=prefix + each.key) for each in writes],
        )

    async def share_keeper(self) -> None:
        """From now on the store has users."""
        keeper = encode(Keeper(user="keeper", password="secret"))
        sealed = await FakeVault().seal(KEEPER_KEY, keeper)
        await self.transaction([], [Put(KEEPER_KEY, sealed)])
        await settle()

    async def token(self, replaces: str = "") -> Token:
        view = await self.admission.create_token(replaces, WHO)
        assert view.until == self.clock.now() + 900
        await settle()
        return Token.parse(view.token)

    async def join(self, token: Token, name: str, number: int) -> JoinAnswer:
        answer = await self.admission.join(question(token, name, number))
        await settle()
        return answer

    @property
    def machines(self) -> dict[str, str]:
        """With their serials."""
        items = self.follower.items_of("machines/")
        return dict(member_list(CLUSTER, items).serials)


def question(token: Token, name: str, number: int, text: str = "PEM") -> JoinRequest:
    return JoinRequest(
        id=token.id,
        secret=token.secret,
        name=name,
        address=f"10.0.0.{number}",
        port=8445,
        request=text,
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """With the files of the machine where the cluster was created."""
    home = Home(tmp_path_factory.mktemp("m1"))
    authority = MachineAuthority.create(CLUSTER, time.time())
    home.cluster.mkdir()
    (home.cluster / AUTHORITY).write_bytes(authority.pem)
    (home.cluster / AUTHORITY_KEY).write_bytes(authority.key_pem)
    write_store(home.cluster, STORE)
    write_cluster_key(home.cluster, bytes(32))
    return home


@pytest.fixture
def run(first: Home) -> Callable[[Callable[[Member, Member], Awaitable[None]]], None]:
    """With the daemons of two machines."""

    async def started(work: Callable[[Member, Member], Awaitable[None]]) -> None:
        clock = FakeClock()
        store = FakeStore(clock)
        members = [Member(name, store, clock, first) for name in ("m1", "m2")]
        machines = [
            Put(
                f"/portico/{CLUSTER}/machines/m{n}",
                encode(SharedMachine(address=f"10.0.0.{n}", serial=f"{n}")),
            )
            for n in (1, 2)
        ]
        record = Put(f"/portico/{CLUSTER}/{CLUSTER_KEY}", encode(ClusterRecord(least=1)))
        await store.transaction([], [record, *machines])
        tasks = [asyncio.create_task(each.follower.look()) for each in members]
        await settle()
        await work(*members)
        for task in tasks:
            task.cancel()

    return lambda work: asyncio.run(started(work))


def test_a_machine_joins_by_any_member_and_is_given_what_it_needs(run):
    async def work(one: Member, two: Member) -> None:
        answer = await two.join(await one.token(), "m3", 3)
        assert answer.certificate == "signed"
        assert answer.cluster_key == bytes(32)
        assert answer.store.endpoints == STORE.endpoints
        assert one.machines == two.machines == {"m1": "1", "m2": "2", "m3": "11"}
        assert SEALED_AUTHORITY_KEY in two.follower.items

    run(work)


def test_a_token_is_used_once_also_where_two_machines_are_asked_at_a_time(run):
    async def work(one: Member, two: Member) -> None:
        token = await one.token()
        joins = one.join(token, "m3", 3), two.join(token, "m4", 4)
        answers = await asyncio.gather(*joins, return_exceptions=True)
        assert sorted(type(each).__name__ for each in answers) == ["JoinAnswer", "Refused"]
        assert len(one.machines) == 3
        with pytest.raises(Refused, match="was used by m"):
            await one.join(token, "m5", 5)

    run(work)


def test_a_name_is_given_once_also_where_two_machines_are_asked_at_a_time(run):
    async def work(one: Member, two: Member) -> None:
        tokens = await one.token(), await two.token()
        joins = one.join(tokens[0], "m3", 3), two.join(tokens[1], "m3", 4)
        answers = await asyncio.gather(*joins, return_exceptions=True)
        assert sorted(type(each).__name__ for each in answers) == ["JoinAnswer", "Refused"]

    run(work)


def test_a_machine_is_replaced_by_a_token_for_it_alone(run):
    async def work(one: Member, two: Member) -> None:
        token = await one.token("m2")
        with pytest.raises(Refused, match="the token is for machine m2"):
            await one.join(token, "m3", 3)
        await one.join(token, "m2", 9)
        serial = one.machines["m2"]
        assert serial != "2"
        two.is_replaced = True
        with pytest.raises(Refused, match="from its cluster, or replaced"):
            await two.token()
        with pytest.raises(StoreUnavailable, match="or replaced"):
            await two.admission.remove_machine("m1", WHO, force=True)
        with pytest.raises(StoreUnavailable, match="or replaced"):
            await two.join(await one.token(), "m4", 4)
        assert one.machines.keys() == {"m1", "m2"}
        await two.admission.leave_cluster(WHO)
        await settle()
        assert one.machines["m2"] == serial, "that of its successor"
        with pytest.raises(NotFound, match="its machines are m1, m2"):
            await one.token("m7")

    run(work)


def test_a_machine_that_takes_a_name_has_the_labels_unless_it_joins_with_others(run):
    async def work(one: Member, _: Member) -> None:
        def labels() -> tuple[str, ...]:
            return one.follower.values(SharedMachine, "machines/")["m3"].labels

        for given, expected in (
            (("large",), ("large",)),
            ((), ("large",)),
            (("a", "b"), ("a", "b")),
        ):
            token = await one.token("m3" if one.machines.keys() > {"m1", "m2"} else "")
            asked = question(token, "m3", 3)
            await one.admission.join(msgspec.structs.replace(asked, labels=given))
            await settle()
            assert labels() == expected

    run(work)


@pytest.mark.parametrize("has_users", [False, True])
def test_a_machine_alone_whose_own_replacement_was_not_confirmed_takes_it_back(run, has_users):
    async def work(one: Member, two: Member) -> None:
        if has_users:
            await one.share_keeper()
            await one.users.restore()
        await one.join(await one.token("m1"), "m1", 1)  # its answer is lost
        one.is_replaced = True
        with pytest.raises(Refused, match="or replaced"):
            await one.token("m1")  # m2 can create a token
        await two.admission.leave_cluster(WHO)
        key = f"/portico/{CLUSTER}/present/m1"
        session = await one.store.open_session(15)
        await one.store.transaction([], [Put(key, b"", session)])
        await settle()
        with pytest.raises(Refused, match="or replaced"):
            await one.token("m1")  # it runs elsewhere
        await one.store.end_session(session)
        await settle()
        token = await one.token("m1")
        assert one.machines == {"m1": "1"}
        await one.join(token, "m1", 1)
        assert one.machines.keys() == {"m1"}
        if has_users:
            own = one.users.name_of("m1", one.machines["m1"])
            assert {name for name in one.store.users if ".m1." in name} == {own}

    run(work)


def test_a_token_ends_and_is_removed(run):
    async def work(one: Member, two: Member) -> None:
        token = await one.token()
        await one.clock.advance(901)
        with pytest.raises(Refused, match="the token was valid until"):
            await one.join(token, "m3", 3)
        await one.token()
        assert len(one.follower.items_of("tokens/")) == 1

    run(work)


def test_what_cannot_be_signed_uses_no_token(run):
    async def work(one: Member, two: Member) -> None:
        token = await one.token()
        with pytest.raises(Failed, match="cannot be read"):
            await one.admission.join(question(token, "m3", 3, text="\0"))
        await one.join(token, "m3", 3)

    run(work)


def test_a_machine_is_removed_by_another_one_or_leaves(run):
    async def work(one: Member, two: Member) -> None:
        await one.join(await one.token(), "m3", 3)
        token = await two.token("m3")
        await one.transaction([], [Put("present/m3", b""), Put("progress/m3", b"")])
        await settle()
        await one.admission.remove_machine("m3", WHO, force=True)
        await settle()
        assert not [key for key in one.store.names() if "m3" in key]
        with pytest.raises(Refused, match="the token is not valid here"):
            await one.join(token, "m3", 3)
        assert two.machines.keys() == {"m1", "m2"}
        with pytest.raises(Refused, match="is this machine"):
            await one.admission.remove_machine("m1", WHO, force=True)
        with pytest.raises(NotFound, match="there is no machine m3"):
            await one.admission.remove_machine("m3", WHO)
        two.revisions = {"default": None}
        with pytest.raises(Refused, match="portico down --all"):
            await two.admission.leave_cluster(WHO)
        two.revisions = {}
        for _ in range(2):  # again, where the files could not be removed
            await two.admission.leave_cluster(WHO)
            await settle()
        assert one.machines.keys() == {"m1"}
        with pytest.raises(Refused, match="was removed from its cluster"):
            await two.token()

    run(work)


def test_a_machine_that_was_replaced_while_it_was_removed_is_still_there(run):
    async def work(one: Member, two: Member) -> None:
        await one.share_keeper()
        other = SharedMachine(address="10.0.0.2", serial="ff")
        await two.transaction([], [Put("machines/m2", encode(other))])
        with pytest.raises(Failed, match="was changed or removed at the same moment; look at"):
            await one.admission.remove_machine("m2", WHO)
        await settle()
        assert one.machines == {"m1": "1", "m2": "ff"}

    run(work)


def test_each_certificate_has_a_user_of_its_own_in_a_store_that_has_users(run):
    def users(store: FakeStore) -> set[str]:
        return {name.removeprefix(f"portico.{CLUSTER}.") for name in store.users}

    async def work(one: Member, two: Member) -> None:
        await one.share_keeper()
        access = (await one.join(await one.token(), "m3", 3)).store
        assert access.user == f"portico.{CLUSTER}.m3.11"
        assert access.password not in {"", STORE.password}
        assert users(one.store) == {"m3.11"}
        tokens = await one.token(), await two.token()
        joins = one.join(tokens[0], "m4", 4), two.join(tokens[1], "m4", 5)
        await asyncio.gather(*joins, return_exceptions=True)
        serial = one.machines["m4"]
        assert users(one.store) == {"m3.11", f"m4.{serial}"}  # none of the one that was refused
        await one.join(await one.token("m3"), "m3", 3)
        assert users(one.store) == {f"m3.{one.machines['m3']}", f"m4.{serial}"}
        for machine in ("m3", "m4"):
            await two.admission.remove_machine(machine, WHO)
        assert users(one.store) == set()
        assert set(two.asked_by) == {"keeper"}

    run(work)


def test_a_join_that_is_refused_leaves_the_user_of_the_one_that_was_quicker(run):
    async def work(one: Member, two: Member) -> None:
        await one.share_keeper()
        slow, quick = await two.token(), await one.token()
        sign = two.signing.sign_machine

        async def overtaken(*args: str) -> SignedMachine:
            await one.join(quick, "m3", 3)
            return await sign(*args)

        two.signing.sign_machine = overtaken
        with pytest.raises(Refused, match="at the same moment"):
            await two.join(slow, "m3", 4)
        assert one.store.users.keys() - {"keeper"} == {one.users.name_of("m3", one.machines["m3"])}

    run(work)


@pytest.mark.parametrize("replaces", ["", "m2"])
@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("act", ["transaction", "add_user", "remove_user"])
def test_each_user_that_a_failed_join_leaves_is_of_a_machine(run, act, is_done, replaces):
    async def work(one: Member, two: Member) -> None:
        async def fail(*args: object) -> None:
            if is_done:
                await real(*args)
            raise OutcomeUnknown("no answer")

        def users() -> set[str]:
            return one.store.users.keys() - {"keeper"}

        def expected() -> set[str]:
            return {one.users.name_of(*each) for each in one.machines.items()}

        await one.share_keeper()
        await one.users.restore()
        name, token = replaces or "m3", await one.token(replaces)
        real = getattr(one.store, act)
        setattr(one.store, act, fail)
        with suppress(OutcomeUnknown):  # without a user to remove it is done
            await one.join(token, name, 3)
        setattr(one.store, act, real)
        await settle()
        assert users() <= expected()
        await two.join(await two.token(name if name in two.machines else ""), name, 3)
        assert users() == expected()
        await one.admission.remove_machine(name, WHO)
        await settle()
        assert users() == expected()

    run(work)


def test_the_users_of_all_machines_are_made_again_in_a_store_that_has_lost_them(run):
    async def work(one: Member, two: Member) -> None:
        assert await one.users.restore()
        assert one.store.users == {}
        await one.share_keeper()
        access = (await one.join(await one.token(), "m3", 3)).store
        before = one.store.passwords[access.user]
        one.store.users.clear()
        one.store.passwords.clear()
        assert await two.users.restore()
        names = {f"portico.{CLUSTER}.{name}" for name in ("m1.1", "m2.2", "m3.11")}
        assert one.store.users.keys() == {"keeper", *names}
        assert one.store.users["keeper"] == []
        assert one.store.passwords[access.user] == before == access.password

    run(work)


def test_a_member_of_etcd_is_added_takes_part_once_it_has_started_and_is_removed(run, tmp_path):
    async def work(one: Member, two: Member) -> None:
        home = Home(tmp_path)
        home.cluster.mkdir()
        write_store(home.cluster, STORE)
        other = StoreAddresses(two, Troubles(), home)
        first = StoreMember(1, "m1", ["https://10.0.0.1:2380"], ["https://10.0.0.1:2379"])
        one.store.listed = [first]
        question = EtcdMemberRequest(name="m4", address="10.0.0.4", request="PEM")
        added = await one.etcd.set_member(question, WHO)
        assert (added.done, added.certificate) == ("added", "signed")
        assert added.peers == {"m1": first.peers[0], "m4": "https://10.0.0.4:2380"}
        assert (await one.etcd.set_member(question, WHO)).done == "renewed"
        one.store.listed[1] = replace(one.store.listed[1], name="m4", clients=[CLIENT_4])
        promoted = await one.etcd.set_member(question, WHO)
        assert promoted.endpoints == ("https://10.0.0.1:2379", CLIENT_4)
        await settle()
        await other.look()
        assert tuple(read_store(home).endpoints) == one.store.endpoints == promoted.endpoints
        assert read_store(home).password == STORE.password
        assert not one.store.listed[1].is_learner

        removed = await two.etcd.remove_member("m4", "", WHO)
        assert (removed.done, one.store.listed) == ("removed", [first])
        await settle()
        await other.look()
        assert list(read_store(home).endpoints) == ["https://10.0.0.1:2379"]

    run(work)


def test_a_member_whose_address_was_not_shared_at_its_promotion_is_shared_later(run):
    async def work(one: Member, two: Member) -> None:
        one.store.listed = [
            StoreMember(n, f"m{n}", [f"https://10.0.0.{n}:2380"], [], is_learner=n > 1)
            for n in (1, 4, 5)
        ]
        four, five = (
            EtcdMemberRequest(name=f"m{n}", address=f"10.0.0.{n}", request="PEM") for n in (4, 5)
        )
        promote = one.store.promote_member

        async def promote_both(member: int) -> None:
            await promote(member)
            one.store.promote_member = promote
            await two.etcd.set_member(five, WHO)

        one.store.promote_member = promote_both
        with pytest.raises(
            Refused, match="were changed at the same moment; run the command again"
        ):
            await one.etcd.set_member(four, WHO)
        await settle()
        again = await one.etcd.set_member(four, WHO)
        assert not any(each.is_learner for each in one.store.listed)
        assert set(again.endpoints) == {*STORE.endpoints, CLIENT_4, "https://10.0.0.5:2379"}

    run(work)


def test_who_restores_the_store_may_write_the_keys_of_all_machines(run):
    async def work(one: Member, two: Member) -> None:
        async with one.users.writer() as store:
            assert store is one.store
        assert one.asked_by == []
        await two.share_keeper()
        async with one.users.writer():
            assert one.asked_by == ["keeper"]

    run(work)


def test_without_the_store_nothing_is_promised(run):
    async def work(one: Member, two: Member) -> None:
        token = await one.token()
        one.store.fail("connection refused")
        await settle()
        for ask in (one.token, lambda: one.join(token, "m3", 3)):
            with pytest.raises(StoreUnavailable, match="connection refused"):
                await ask()

    run(work)


class UnansweredStore(FakeStore):
    """The answers of so many transactions do not come, of which so many were done."""

    unanswered, done = 0, 0
    refusal: Failed | None = None
    """Of those after them."""

    async def transaction(
        self, compares: Sequence[Compare], writes: Sequence[Write]
    ) -> int | None:
        if not self.unanswered and self.refusal:
            raise self.refusal
        if not self.unanswered:
            return await super().transaction(compares, writes)
        self.unanswered -= 1
        if self.done:
            self.done -= 1
            await super().transaction(compares, writes)
        raise OutcomeUnknown("etcd gave no answer")


@pytest.mark.parametrize(("unanswered", "done"), [(1, 0), (1, 1), (3, 1), (1000, 0), (1000, 1)])
def test_the_creation_of_a_cluster_that_is_not_answered_is_repeated_or_says_what_to_remove(
    tmp_path: Path, unanswered: int, done: int
):
    loop = VirtualLoop(1000.0)
    store = UnansweredStore(loop)
    store.unanswered, store.done = unanswered, done
    creation = ClusterCreation(lambda _: store, lambda _: FakeVault(), loop)
    write_store(tmp_path, STORE)
    place = {"name": "m1", "address": "10.0.0.1", "folder": str(tmp_path), "serial": "1"}
    request = ClusterRequest(cluster="one", user="root", **place)
    removal = (
        "`etcdctl del --prefix /portico/one/`, `etcdctl user delete portico.one.1`, `etcdctl user "
        "delete portico.one.m1.1`, `etcdctl role delete portico.one.m1.1`"
    )

    def created() -> None:
        task = loop.create_task(creation.create(request))
        loop.run_until(loop.time() + 60.0)
        task.result()

    if unanswered < 1000:
        created()
        assert store.users.keys() == {"portico.one.1", "m"}
        assert store.peek("/portico/one/machines/m1")
    else:
        with pytest.raises(OutcomeUnknown, match=f"no answer; .*{removal}"):
            created()
        assert store.users == {}
        store.unanswered = 0
        if done:
            with pytest.raises(Refused, match=f"only machine is m1; .*{removal}"):
                created()
        else:
            created()
    loop.close()


def test_a_creation_that_is_refused_when_it_is_repeated_says_that_data_may_be_left(tmp_path: Path):
    loop = VirtualLoop(1000.0)
    store = UnansweredStore(loop)
    store.unanswered, store.done, store.refusal = 1, 1, Failed("etcd refuses: permission denied")
    creation = ClusterCreation(lambda _: store, lambda _: FakeVault(), loop)
    write_store(tmp_path, STORE)
    place = {"name": "m1", "address": "10.0.0.1", "folder": str(tmp_path), "serial": "1"}
    task = loop.create_task(creation.create(ClusterRequest(cluster="one", **place)))
    loop.run_until(loop.time() + 60.0)
    with pytest.raises(OutcomeUnknown, match=r"denied; .*`etcdctl del --prefix /portico/one/`"):
        task.result()
    loop.close()


def test_a_second_cluster_in_a_store_has_to_be_asked_for(tmp_path: Path):
    async def work() -> None:
        store = FakeStore(FakeClock())
        cluster_creation = ClusterCreation(lambda _: store, lambda _: FakeVault(), FakeClock())
        write_store(tmp_path, STORE)

        async def create(cluster: str, **more: object) -> None:
            place = {"name": "m1", "address": "10.0.0.1", "folder": str(tmp_path), "serial": "1"}
            await cluster_creation.create(ClusterRequest(cluster=cluster, **{**place, **more}))

        await create("one")
        found = await store.snapshot("/portico/one/")
        assert found.items.keys() == {"/portico/one/cluster", "/portico/one/machines/m1"}
        with pytest.raises(Refused, match="of cluster one, whose only machine is m1; nothing was"):
            await create("two")
        store.write({"/portico/one/present/m1": b"{}"})
        with pytest.raises(Refused, match="etcd has the data of cluster one; nothing was changed"):
            await create("two")
        await create("two", another=True)
        with pytest.raises(Refused, match="etcdctl del --prefix /portico/two/`"):
            await create("two", another=True, user="root", serial="2")
        assert store.users == {}
        await create("four", another=True, user="root")
        assert store.users == {"portico.four.1": [], "m": machine_permissions("four", "m1")}
        assert store.peek(f"/portico/four/{KEEPER_KEY}")
        store.fail("connection refused")
        with pytest.raises(PorticoError, match="connection refused"):
            await create("three")

    asyncio.run(work())
