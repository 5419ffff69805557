"""What becomes of the store's promises when etcd dies, is silent, is full or is another one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from portico.adapters.store.etcd.gateway import Gateway
from portico.adapters.store.etcd.store import EtcdStore
from portico.core.model.cluster import machine_host
from portico.core.model.snapshot import ABSENT, Compare, Put, StoreAddress, StoreUser
from portico.core.planning.store_permissions import machine_permissions
from portico.errors import Failed
from portico.ports.store import OutcomeUnknown, StoreUnavailable, WatchEnded
from portico.system.clock import SystemClock
from portico.system.machine_certificates import MachineAuthority
from tests import etcd as harness
from tests.cluster import needs_root
from tests.etcd import Etcd, Member, Place, etcd
from tests.network import Network

pytestmark = pytest.mark.skipif(bool(harness.MISSING), reason=harness.WHY_SKIPPED)
PREFIX = "/portico/"
KEY = PREFIX + "key"
WATCH_TIMEOUT = 90.0
"""Seconds, on a busy machine: `test_etcd_deadlines` has the 35 s that are promised."""

NEXT_RENEWAL = 25.0
"""Seconds after which a watch would be opened again anyway, and a bit less."""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with etcd(tmp_path_factory.mktemp("etcd"), 3) as three:
        yield three


@pytest.fixture
def three(started: Etcd) -> Etcd:
    started.start()
    return started


@asynccontextmanager
async def opened(address: StoreAddress) -> AsyncIterator[EtcdStore]:
    store = EtcdStore(address, SystemClock())
    try:
        yield store
    finally:
        await store.close()


async def put(store: EtcdStore, value: bytes = b"", key: str = KEY) -> int | None:
    return await store.transaction([], [Put(key, value)])


async def value(store: EtcdStore) -> bytes | None:
    found = (await store.snapshot(PREFIX)).items.get(KEY)
    return found and found.value


@contextmanager
def stopped(*members: Member) -> Iterator[None]:
    for each in members:
        each.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for each in members:
            each.signal(signal.SIGCONT)


def run(work: Callable[[EtcdStore], Awaitable[None]], address: StoreAddress) -> None:
    async def ended() -> None:
        async with opened(address) as store:
            await work(store)

    asyncio.run(ended())


async def watch_has_ended(store: EtcdStore, after: int, told: asyncio.Event | None = None) -> None:
    async with aclosing(store.watch(PREFIX, after)) as changes, asyncio.timeout(WATCH_TIMEOUT):
        async for _ in changes:
            if told:
                told.set()


async def begun_watch(store: EtcdStore, number: int | None) -> asyncio.Task[None]:
    """One that has told of the change of that revision."""
    told = asyncio.Event()
    watch = asyncio.create_task(watch_has_ended(store, (number or 0) - 1, told))
    await asyncio.wait_for(told.wait(), WATCH_TIMEOUT)
    return watch


def test_calls_are_answered_while_another_member_becomes_the_leader(three):
    async def work(store: EtcdStore) -> None:
        await put(store, b"before")
        await asyncio.to_thread(leader.kill)
        deadline = time.monotonic() + 60
        while True:
            try:
                assert await value(store) == b"before"
                break
            except StoreUnavailable:
                assert time.monotonic() < deadline
        assert await put(store, b"after")

    leader = three.leader()
    others = [each.url for each in three.members if each is not leader]
    run(work, StoreAddress([leader.url, *others]))


def test_with_every_member_dead_a_change_is_refused_at_once_and_made_when_they_are_back(three):
    async def work(store: EtcdStore) -> None:
        await put(store, b"before")
        await asyncio.to_thread(three.kill)
        before = time.process_time()
        with pytest.raises(StoreUnavailable, match="cannot reach the store") as caught:
            await put(store, b"never")
        assert not isinstance(caught.value, OutcomeUnknown)
        assert all(f"{url}: Connect" in str(caught.value) for url in three.urls)
        assert time.process_time() - before < 1  # it does not try again without a pause
        await asyncio.to_thread(three.start)
        assert await value(store) == b"before"
        assert await put(store, b"after")

    run(work, StoreAddress(three.urls))


def test_without_most_of_the_members_a_change_is_refused_and_a_watch_ends(three):
    async def work(store: EtcdStore) -> None:
        watch = await begun_watch(store, await put(store, b"before"))
        with stopped(*three.members[1:]):
            with pytest.raises(WatchEnded):
                await asyncio.wait_for(watch, NEXT_RENEWAL)
            with pytest.raises(StoreUnavailable) as caught:
                await put(store, b"never")
            assert not isinstance(caught.value, OutcomeUnknown)
        await asyncio.to_thread(three.wait_until_healthy)
        assert await value(store) == b"before"

    run(work, StoreAddress(three.urls))


def test_the_silence_of_a_member_is_noticed_by_what_another_call_is_answered(three):
    async def work(store: EtcdStore) -> None:
        session = await store.open_session(120)
        begun = asyncio.Event()
        watch = asyncio.create_task(watch_has_told(store, await put(store), begun))
        await asyncio.wait_for(begun.wait(), WATCH_TIMEOUT)
        with stopped(three.members[0]):
            async with opened(StoreAddress(three.urls[1:])) as other:
                await changed(other)
            async with asyncio.timeout(NEXT_RENEWAL):
                while not watch.done():  # as the daemon does every five seconds
                    await store.keep_session(session)
                    await asyncio.wait([watch], timeout=0.5)
        await watch
        assert await value(store) == b"later"

    async def watch_has_told(store: EtcdStore, number: int | None, begun: asyncio.Event) -> None:
        """Of the change, or that it does not know."""
        async with aclosing(store.watch(PREFIX, (number or 0) - 1)) as changes:
            await anext(changes)
            begun.set()
            with suppress(WatchEnded):
                assert (await anext(changes)).items[KEY].value == b"later"

    async def changed(other: EtcdStore) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                await put(other, b"later")
            except StoreUnavailable:  # the member that is stopped was the leader
                assert time.monotonic() < deadline
            else:
                return

    run(work, StoreAddress(three.urls))


def test_of_a_store_that_was_wiped_or_replaced_by_a_copy_a_watch_ends(three, tmp_path):
    async def work(store: EtcdStore) -> None:
        await put(store, b"copied")
        await asyncio.to_thread(three.save, tmp_path / "copy")
        for begin_again, there in (
            (lambda: three.restore(tmp_path / "copy"), b"copied"),
            (three.wipe, None),
        ):
            await put(store, b"newer")
            after = await put(store, b"newest") or 0
            watch = await begun_watch(store, after)
            await asyncio.to_thread(three.kill)
            with pytest.raises(WatchEnded):
                await watch
            await asyncio.to_thread(begin_again)
            assert await value(store) == there
            assert (await store.snapshot(PREFIX)).revision < after
            with pytest.raises(WatchEnded, match=f"which is before {after}"):
                await watch_has_ended(store, after)

    run(work, StoreAddress(three.urls))


def test_a_full_database_refuses_changes_and_says_so_and_can_still_be_read(tmp_path):
    async def work(store: EtcdStore) -> None:
        await put(store, b"small")
        with pytest.raises(StoreUnavailable, match="its database is full: compact"):
            await fill(store)
        assert await value(store) == b"small"

    async def fill(store: EtcdStore) -> None:
        for each in range(100):
            await put(store, bytes(1 << 18), f"{PREFIX}{each}")

    with etcd(tmp_path / "full", 1, "--quota-backend-bytes", str(1 << 21)) as full:
        run(work, StoreAddress(full.urls))


def test_a_user_is_authenticated_again_when_its_token_is_no_longer_valid(tmp_path):
    with etcd(tmp_path / "users", 1, "--bcrypt-cost", "4") as one:
        for command in (
            ("user", "add", "root:secret"),
            ("role", "add", "root"),
            ("user", "grant-role", "root", "root"),
            ("user", "add", "m1:pass word"),
            ("role", "add", "m1"),
            ("role", "grant-permission", "m1", "readwrite", PREFIX, "/portico0"),
            ("user", "grant-role", "m1", "m1"),
        ):
            one.ctl(*command)
        address = StoreAddress(one.urls, user="m1", password="pass word")
        run(put, address)  # nobody has to authenticate yet
        one.ctl("auth", "enable")

        async def work(store: EtcdStore) -> None:
            assert await put(store, b"1")
            with pytest.raises(Failed, match="does not permit this to m1; nothing was changed"):
                await put(store, b"1", "/elsewhere")
            await asyncio.to_thread(one.kill)
            await asyncio.to_thread(one.members[0].start, f"e0={one.members[0].peer}")
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                try:
                    assert await value(store) == b"1"
                    break
                except StoreUnavailable as error:
                    assert "refuses user" not in str(error)  # noqa: PT017
            assert await put(store, b"2")

        run(work, address)

        async def unknown(store: EtcdStore) -> None:
            with pytest.raises(StoreUnavailable, match="refuses user"):
                await value(store)

        run(unknown, StoreAddress(one.urls, user="m1", password="wrong"))
        run(unknown, StoreAddress(one.urls))


def test_a_machine_may_not_write_what_is_another_machines(tmp_path):
    def user(name: str) -> StoreUser:
        return StoreUser(name, f"secret of {name}")

    def to(name: str) -> StoreAddress:
        return StoreAddress(one.urls, user=name, password=user(name).password)

    async def work(root: EtcdStore) -> None:
        assert await root.has_users()
        for _ in range(2):  # as where an answer was lost
            await root.add_user(user("keeper"), [])
        async with opened(to("keeper")) as keeper, opened(to("m1")) as m1:
            for name in ("m1", "m2"):
                for _ in range(2):
                    await keeper.add_user(user(name), machine_permissions("6a1c", name))
            for key in ("machines/m2", "present/m2", "progress/m2"):
                await put(keeper, b"m2", prefix + key)
            session = await m1.open_session(60)
            for key in ("present/m1", "turn"):
                await m1.transaction(
                    [Compare(prefix + key, ABSENT)], [Put(prefix + key, b"", session)]
                )
            for key in ("change", "head/web", "machines/m1", "revisions/web/1"):
                await put(m1, b"m1", prefix + key)
            after = await put(m1, b"m1", prefix + "progress/m1") or 0
            assert len((await m1.snapshot(prefix)).items) == 10
            async with aclosing(m1.watch(prefix, after - 1)) as changes:
                assert (await anext(changes)).items.keys() == {prefix + "progress/m1"}
            others = (f"{prefix}{part}/m2" for part in ("machines", "present", "progress"))
            for key in (*others, f"{PREFIX}6a1d/turn"):
                with pytest.raises(Failed, match="does not permit this to m1; nothing was"):
                    await put(m1, b"m1", key)
            with pytest.raises(Failed, match="does not permit this to m1"):
                await m1.add_user(user("m3"), [])
            await m1.end_session(session)
            for _ in range(2):
                await keeper.remove_user("m1")
            with pytest.raises(StoreUnavailable, match="refuses user 'm1'"):
                await put(m1, b"m1", prefix + "progress/m1")
        assert "m1" not in one.ctl("role", "list", "--user", "root:secret of root").split()

    prefix = f"{PREFIX}6a1c/"
    with etcd(tmp_path / "rights", 1, "--bcrypt-cost", "4") as one:

        async def without(store: EtcdStore) -> None:
            assert not await store.has_users()

        run(without, to("root"))
        one.ctl("user", "add", "root:secret of root")
        one.ctl("user", "grant-role", "root", "root")
        one.ctl("auth", "enable")
        run(work, to("root"))


def test_a_transaction_whose_answer_is_lost_is_neither_done_nor_refused(three):
    async def work() -> None:
        async with swallowing(three.members[0].url) as url, opened(StoreAddress([url])) as store:
            with pytest.raises(OutcomeUnknown, match="it may have been made"):
                await put(store, b"done")
            assert await value(store) == b"done"

    asyncio.run(work())


def test_a_key_of_bytes_that_are_no_text_does_no_harm(three):
    async def work(store: EtcdStore) -> None:
        after = await put(store, b"1") or 0
        put_bytes = ["put", os.fsdecode(PREFIX.encode() + b"\xff"), "2"]
        await asyncio.to_thread(three.ctl, *put_bytes)
        async with aclosing(store.watch(PREFIX, after)) as changes:
            assert (await anext(changes)).items.keys() == {PREFIX + "\\xff"}
        assert PREFIX + "\\xff" in (await store.snapshot(PREFIX)).items

    run(work, StoreAddress(three.urls))


@asynccontextmanager
async def swallowing(url: str) -> AsyncIterator[str]:
    """The URL of a member as it is reached over a connection that is cut at the wrong moment."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = url.removeprefix("http://").split(":")
        far_reader, far_writer = await asyncio.open_connection(host, port)
        with closing(writer), closing(far_writer):
            while request := await reader.read(1 << 16):
                far_writer.write(request)
                answer = await far_reader.read(1 << 16)
                if b"/v3/kv/txn" in request:
                    return
                writer.write(answer)

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_a_machines_certificate_is_what_etcd_asks_for(tmp_path):
    """It has no common name: with one, and users, etcd's gateway refuses requests."""
    own, foreign = machine(tmp_path / "own"), machine(tmp_path / "foreign")
    server, local = server_pair(tmp_path)
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(own.authority.read_text() + local.read_text())
    tls = ["--cert-file", f"{server}.pem", "--key-file", f"{server}.key", "--client-cert-auth"]
    client = ["--cacert", str(local), "--cert", str(own.certificate), "--key", str(own.key)]
    with etcd(
        *(tmp_path / "etcd", 1, "--bcrypt-cost", "4"),
        tls=[*tls, "--trusted-ca-file", str(trusted)],
        client=client,
    ) as one:
        for command in (("user", "add", "root:secret"), ("user", "grant-role", "root", "root")):
            one.ctl(*command)
        one.ctl("auth", "enable")
        users = {"user": "root", "password": "secret"}
        pair = {"certificate": str(own.certificate), "key": str(own.key)}
        address = StoreAddress(one.urls, authority=str(local), **pair, **users)

        async def work(store: EtcdStore) -> None:
            after = await put(store, b"1")
            async with aclosing(store.watch(PREFIX, after - 1)) as changes:
                assert (await anext(changes)).items[KEY].value == b"1"

        run(work, address)
        more = replace(address, authority=str(own.authority), more_authorities=local.read_text())
        run(value, more)  # as `init --etcd-ca` has it

        async def refused(store: EtcdStore) -> None:
            with pytest.raises(StoreUnavailable) as caught:
                await value(store)
            reasons.append(str(caught.value))

        reasons: list[str] = []
        strangers = {"certificate": str(foreign.certificate), "key": str(foreign.key)}
        run(refused, StoreAddress(one.urls, authority=str(foreign.authority), **pair, **users))
        run(refused, StoreAddress(one.urls, authority=str(local), **strangers, **users))
        assert "certificate is not valid: unable to get local issuer" in reasons[0]
        assert one.urls[0] in reasons[1]
        with pytest.raises(Failed, match="cannot use the certificates for etcd"):
            EtcdStore(StoreAddress(one.urls, authority=str(own.key)), SystemClock())


@dataclass(frozen=True)
class MachineFiles:
    authority: Path
    certificate: Path
    key: Path


def machine(folder: Path) -> MachineFiles:
    folder.mkdir()
    authority = MachineAuthority.create("6a1c", time.time())
    pair = authority.sign("m1", machine_host("m1"), time.time())
    files = MachineFiles(folder / "authority.pem", folder / "machine.pem", folder / "machine.key")
    files.authority.write_bytes(authority.pem)
    files.certificate.write_bytes(pair.certificate)
    files.key.write_bytes(pair.key)
    return files


def server_pair(folder: Path) -> tuple[Path, Path]:
    """Of etcd itself, and the certificate of the authority that has signed it. Its gateway, which
    asks it as a client does, shows the same.
    """
    server, authority = folder / "server", folder / "root"
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    openssl(
        *("req", "-x509", *ec, "-subj", "/O=etcd", "-keyout", f"{authority}.key"),
        *("-out", f"{authority}.pem"),
    )
    openssl(
        *("req", "-x509", *ec, "-subj", "/O=member", "-keyout", f"{server}.key"),
        *("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key"),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"),
        *("-addext", "extendedKeyUsage=serverAuth,clientAuth", "-out", f"{server}.pem"),
    )
    return server, authority.with_suffix(".pem")


def openssl(*command: str) -> None:
    subprocess.run(["openssl", *command], check=True, capture_output=True, timeout=60)


@needs_root
def test_a_member_that_is_cut_from_the_others_is_left_for_one_of_them(tmp_path):
    """Clients reach all of them, over another network."""
    with ExitStack() as stack:
        peers, clients, *own = (Network() for _ in range(5))
        for each in (peers, clients, *own):
            stack.callback(each.close)
        for each in (peers, clients):
            each.ip("link add bridge type bridge", "link set bridge up")
        clients.ip("addr add 10.78.0.250/24 dev bridge")
        for number, each in enumerate(own, 1):
            connect(each, "eth0", f"10.78.0.{number}", clients)
            connect(each, "eth1", f"10.79.0.{number}", peers)
        places = [
            Place(each, f"10.78.0.{number}", f"10.79.0.{number}")
            for number, each in enumerate(own, 1)
        ]
        stack.enter_context(clients.entered())
        three = stack.enter_context(etcd(tmp_path / "etcd", 3, places=places))

        async def work(store: EtcdStore) -> None:
            watch = await begun_watch(store, await put(store, b"before"))
            peers.ip("link set n1 nomaster")
            with pytest.raises(WatchEnded):
                await asyncio.wait_for(watch, NEXT_RENEWAL)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                try:
                    assert await put(store, b"after")
                    break
                except OutcomeUnknown:
                    raise
                except StoreUnavailable:
                    continue  # the others agree on another leader
            assert await value(store) == b"after"
            peers.ip("link set n1 master bridge")
            three.wait_until_healthy()
            async with opened(StoreAddress(three.urls[:1])) as first:
                assert await value(first) == b"after"

        run(work, StoreAddress(three.urls))


def connect(network: Network, device: str, address: str, to: Network) -> None:
    """A cable to the bridge of another network."""
    end = f"n{address.rpartition('.')[2]}"
    network.ip(
        f"link add {device} type veth peer name {end} netns {to.path}",
        f"addr add {address}/24 dev {device}",
        f"link set {device} up",
    )
    to.ip(f"link set {end} master bridge up")


def test_a_member_that_is_reached_by_tls_is_asked_so_after_others_that_were_not():
    received = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(1))
        writer.close()

    async def work() -> None:
        gateway = Gateway(StoreAddress(["http://127.0.0.1:1"]), SystemClock())
        async with await asyncio.start_server(note, "127.0.0.1", 0) as server:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            gateway.use([url])
            with pytest.raises(StoreUnavailable):
                await gateway.answer_of_member(url, "/version")

    asyncio.run(work())
    assert received == [b"\x16"], "a handshake (RFC 8446 5.1)"


def test_what_two_calls_find_out_about_a_member_counts_once():
    """The other one is asked next, and not that member again."""
    gateway = Gateway(StoreAddress(["http://127.0.0.1:1", "http://127.0.0.1:2"]), SystemClock())
    for _ in range(2):
        gateway.leave_member("http://127.0.0.1:1", "it does not answer")
        assert gateway.url == "http://127.0.0.1:2"
    gateway.leave_member("http://127.0.0.1:2", "it does not answer")
    assert gateway.url == "http://127.0.0.1:1"
