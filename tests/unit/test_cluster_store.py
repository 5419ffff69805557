from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from portico.core.model.event import Requester
from portico.core.model.shared import SCHEMA, ClusterRecord, SharedMachine, encode
from portico.core.model.snapshot import MAX_WRITES, Compare, Delete, Put, Snapshot, StoredItem
from portico.core.planning.mirroring import prefix_of, values_of
from portico.engine.cluster.cluster_store import ClusterStore
from portico.engine.cluster.recovery import StoreRecovery
from portico.engine.cluster.session import DURATION, INTERVAL, Session, SessionOwner
from portico.engine.cluster.store_follower import SUBJECT, StoreFollower
from portico.engine.troubles import Troubles
from portico.errors import Failed, Refused, Unreachable
from portico.ports.store import StoreUnavailable
from tests.fakes.clock import FakeClock, settle
from tests.fakes.state import MemoryState, events_of
from tests.fakes.store import FakeStore

CLUSTER = "6a1c"
ROOT = prefix_of(CLUSTER)
WHO = Requester("test")
MEMBER = "machines/m1"
"""Key of this machine among those of the cluster."""


class Daemon:
    """As much of a daemon as follows the store."""

    def __init__(self, store: FakeStore, clock: FakeClock, state: MemoryState | None = None):
        self.store, self.clock = store, clock
        self.state = state or MemoryState()
        self.troubles = Troubles()
        self.changes: list[Mapping[str, StoredItem | None]] = []
        self.follower = StoreFollower(
            CLUSTER,
            store=store,
            state=self.state,
            troubles=self.troubles,
            clock=clock,
        )
        self.follower.subscribe("test", self.changes.append)
        self.recovery = StoreRecovery(CLUSTER, store, self.follower, events_of(self.state, clock))
        owner = SessionOwner("m1", lambda: b"here", self.is_member)
        self.session = Session(owner, self.follower, self.troubles, clock)

    def is_member(self) -> bool:
        return self.follower.item(MEMBER) is not None

    @contextmanager
    def running(self) -> Iterator[None]:
        tasks = [asyncio.create_task(_again(each)) for each in (self.follower, self.session)]
        try:
            yield
        finally:
            for each in tasks:
                each.cancel()

    @property
    def values(self) -> dict[str, bytes]:
        return {key: item.value for key, item in self.follower.items.items()}

    @property
    def kept(self) -> dict[str, bytes]:
        return kept_of(self.state.mirror(CLUSTER) or Snapshot(0))


def kept_of(found: Snapshot) -> dict[str, bytes]:
    return {key.removeprefix(ROOT): value for key, value in values_of(found).items()}


async def _again(part: StoreFollower | Session) -> None:
    while True:
        await part.look()
        await part.pause()


async def put(store: FakeStore, **values: bytes) -> None:
    assert await store.transaction([], [Put(ROOT + key, value) for key, value in values.items()])


@pytest.fixture
def run() -> Callable[[Callable[[Daemon], Awaitable[None]]], None]:
    """With the daemon of a cluster that has begun."""

    async def started(work: Callable[[Daemon], Awaitable[None]]) -> None:
        clock = FakeClock()
        daemon = Daemon(FakeStore(clock), clock)
        record = encode(ClusterRecord(least=SCHEMA))
        await put(daemon.store, cluster=record, a=b"1", **{MEMBER: b""})
        with daemon.running():
            await settle()
            await work(daemon)

    return lambda work: asyncio.run(started(work))


def test_what_is_shared_is_known_at_once_and_kept_on_disk_but_for_who_is_there(run):
    async def work(daemon: Daemon) -> None:
        await daemon.clock.advance(INTERVAL)
        await put(daemon.store, a=b"2", b=b"3")
        await daemon.store.transaction([], [Delete(ROOT + "b")])
        await settle()
        assert daemon.values["a"] == daemon.kept["a"] == b"2"
        assert daemon.values["present/m1"] == b"here"
        assert daemon.kept.keys() == {"cluster", "a", MEMBER}
        assert daemon.changes[-1] == {"b": None}
        assert not daemon.troubles.sentences()
        daemon.follower.assert_current()

    run(work)


def test_a_daemon_that_starts_without_the_store_goes_by_its_copy_and_refuses_changes(run):
    async def work(daemon: Daemon) -> None:
        daemon.store.fail("connection refused")
        later = Daemon(daemon.store, daemon.clock, daemon.state)
        assert later.values["a"] == b"1"
        with later.running():
            await settle()
            with pytest.raises(StoreUnavailable, match=r"refused; nothing was changed$"):
                later.follower.assert_current()
            with pytest.raises(StoreUnavailable, match=r"refused; nothing was changed$"):
                await later.recovery.accept(act=True, who=WHO)
            [sentence] = later.troubles.sentences()
            assert sentence.endswith("uses the last known state, and refuses shared changes")
            daemon.store.fail("")
            await daemon.store.transaction([], [Put(ROOT + "a", b"2")])
            await daemon.clock.advance(5)
            assert later.values["a"] == b"2"
            assert not later.troubles.sentences()

    run(work)


@pytest.mark.parametrize("found", [Snapshot(1), Snapshot(99)], ids=["wiped", "another"])
def test_a_strange_store_is_no_order_and_gets_nothing_written(run, found):
    async def work(daemon: Daemon) -> None:
        await daemon.clock.advance(INTERVAL)
        before = daemon.values, daemon.kept
        daemon.store.replace(found)
        daemon.store.fail("it was restarted")
        await daemon.clock.advance(3 * INTERVAL)
        daemon.store.fail("")
        await daemon.clock.advance(3 * INTERVAL)
        assert (daemon.values, daemon.kept) == before
        assert "no data of this cluster" in daemon.troubles.of(SUBJECT)
        assert await daemon.store.snapshot("") == found

    run(work)


def test_an_older_copy_of_the_store_is_no_order_and_the_store_itself_is_when_it_is_back(run):
    async def work(daemon: Daemon) -> None:
        old = await daemon.store.snapshot(ROOT)
        await put(daemon.store, a=b"2")
        await settle()
        new = await daemon.store.snapshot(ROOT)
        for store, why in ((old, "restored from an older copy"), (new, "")):
            daemon.store.replace(store)
            daemon.store.fail("it was restarted")
            await daemon.clock.advance(INTERVAL)
            daemon.store.fail("")
            await daemon.clock.advance(INTERVAL)
            assert daemon.values["a"] == daemon.kept["a"] == b"2"
            assert why in daemon.troubles.of(SUBJECT)
            assert bool(daemon.follower.trouble) == bool(why)

    run(work)


@pytest.mark.parametrize("error", [None, StoreUnavailable("connection refused")])
def test_an_answer_that_is_older_than_what_the_watch_has_told_is_not_an_older_store(run, error):
    async def work(daemon: Daemon) -> None:
        store, answered = daemon.store, asyncio.Event()
        at_once = store.snapshot

        async def late(prefix: str) -> Snapshot:
            found = await at_once(prefix)
            await answered.wait()
            if error:
                raise error
            return found

        store.snapshot = late
        asked = asyncio.ensure_future(daemon.follower.read())
        await settle()
        store.snapshot = at_once
        await put(store, a=b"2")
        await settle()
        answered.set()
        assert await asked
        assert (daemon.values["a"], daemon.follower.trouble) == (b"2", "")

    run(work)


def test_what_the_watch_tells_of_after_it_was_read_is_not_an_older_store(run):
    async def work(daemon: Daemon) -> None:
        for value in (b"2", b"3"):
            await put(daemon.store, a=value)
        assert await daemon.follower.read()
        await settle()
        assert (daemon.values["a"], daemon.follower.trouble) == (b"3", "")
        await put(daemon.store, a=b"4")
        await settle()
        assert daemon.values["a"] == b"4"

    run(work)


def test_a_newer_schema_is_not_followed_from_the_change_on_that_demands_it(run):
    async def work(daemon: Daemon) -> None:
        await put(daemon.store, cluster=encode(ClusterRecord(least=SCHEMA + 1)), a=b"new")
        await settle()
        assert daemon.values["a"] == b"1"
        assert "upgrade Portico here" in daemon.follower.trouble

    run(work)


def test_what_is_forgotten_while_the_store_was_away_is_read_anew(run):
    async def work(daemon: Daemon) -> None:
        daemon.store.fail("cut off")
        await settle()
        daemon.store.fail("")
        await put(daemon.store, a=b"2", b=b"2")
        await daemon.store.transaction([Compare(ROOT + "b")], [Delete(ROOT + "a")])
        daemon.store.compact()
        await daemon.clock.advance(INTERVAL)
        assert daemon.values.keys() == {"cluster", "b", "present/m1", MEMBER}

    run(work)


def test_a_disk_that_is_full_keeps_nothing_from_being_followed(run):
    async def work(daemon: Daemon) -> None:
        daemon.state.full = True
        await put(daemon.store, a=b"2")
        await settle()
        assert (daemon.values["a"], daemon.kept["a"]) == (b"2", b"1")
        assert "disk is full" in " ".join(daemon.troubles.sentences())
        daemon.state.full = False
        await put(daemon.store, b=b"3")
        await settle()
        assert daemon.kept == {key: daemon.values[key] for key in ("cluster", "a", "b", MEMBER)}
        assert not daemon.troubles.sentences()

    run(work)


def test_a_session_lasts_by_the_machines_own_clock_and_is_opened_again_when_it_has_ended(run):
    async def work(daemon: Daemon) -> None:
        await daemon.clock.advance(4 * INTERVAL)
        assert daemon.session.is_held()
        daemon.store.fail("cut off")
        await daemon.clock.advance(DURATION + INTERVAL)
        assert not daemon.session.is_held()
        daemon.store.fail("")
        await daemon.clock.advance(3 * INTERVAL)
        assert daemon.session.is_held()
        assert daemon.values["present/m1"] == b"here"
        await daemon.session.end()
        await settle()
        assert "present/m1" not in daemon.values

    run(work)


def test_an_operator_decides_for_an_older_copy_of_the_store_on_each_machine(run):
    async def work(daemon: Daemon) -> None:
        old = await daemon.store.snapshot(ROOT)
        await put(daemon.store, a=b"2", b=b"2")
        await settle()
        daemon.store.replace(old)
        await daemon.clock.advance(INTERVAL)
        lost = daemon.follower.position
        for act in (False, True):
            assert daemon.values["a"] == b"2"
            view = await daemon.recovery.accept(act=act, who=WHO)
            assert view.lines == ("a: changed", "b: removed")
            assert view.done is act
        await daemon.clock.advance(INTERVAL)
        assert daemon.follower.position > lost
        assert daemon.follower.revision < lost[1]
        assert daemon.kept["a"] == daemon.values["a"] == b"1"
        assert "b" not in daemon.values.keys() | daemon.kept.keys()
        assert not daemon.troubles.sentences()
        await put(daemon.store, a=b"3")
        await settle()
        assert daemon.values["a"] == b"3"
        with pytest.raises(Refused, match="followed already"):
            await daemon.recovery.accept(act=True, who=WHO)

    run(work)


@pytest.mark.parametrize("is_wiped", [True, False])
def test_a_store_that_is_filled_from_one_machine_is_followed_by_all_with_the_same_copy(
    run, is_wiped
):
    async def work(daemon: Daemon) -> None:
        other = Daemon(daemon.store, daemon.clock)
        with other.running():
            old = await daemon.store.snapshot(ROOT)
            many = {f"key{each}": b"1" for each in range(MAX_WRITES)}
            await put(daemon.store, a=b"2", **many)
            await daemon.clock.advance(INTERVAL)
            await put(daemon.store, **many)
            await daemon.clock.advance(INTERVAL)
            before = daemon.kept
            daemon.store.replace(Snapshot(1) if is_wiped else old)
            await daemon.clock.advance(INTERVAL)
            assert daemon.follower.trouble
            assert not (await daemon.recovery.restore(act=False, who=WHO)).done
            if is_wiped:
                with pytest.raises(Refused, match="restore` fills it from the copy"):
                    await daemon.recovery.accept(act=True, who=WHO)
                assert await daemon.store.snapshot("") == Snapshot(1)
            assert (await daemon.recovery.restore(act=True, who=WHO)).done
            await daemon.clock.advance(2 * INTERVAL)
            for each in (daemon, other):
                assert each.kept == before
                assert not each.troubles.sentences()

    run(work)


def test_what_is_changed_after_a_restore_is_followed_by_a_machine_that_has_not_looked_yet(run):
    async def work(daemon: Daemon) -> None:
        other = Daemon(daemon.store, daemon.clock)
        with other.running():
            await put(daemon.store, a=b"2")
            await put(daemon.store, a=b"3")
            await daemon.clock.advance(INTERVAL)
        daemon.store.replace(Snapshot(1))
        await daemon.clock.advance(INTERVAL)
        assert (await daemon.recovery.restore(act=True, who=WHO)).done
        await put(daemon.store, a=b"4")
        with other.running():
            await daemon.clock.advance(2 * INTERVAL)
            assert other.kept == daemon.kept
            assert other.kept["a"] == b"4"
            assert not other.troubles.sentences()

    run(work)


def test_of_two_operators_who_fill_the_store_from_different_copies_one_does(run):
    async def work(daemon: Daemon) -> None:
        other = Daemon(daemon.store, daemon.clock)
        with other.running():
            await settle()
        for part in range(2):
            many = {f"key{part}{each}": b"1" for each in range(MAX_WRITES)}
            await put(daemon.store, a=b"2", **many)
        await settle()
        copies = [other.kept, daemon.kept]
        daemon.store.replace(Snapshot(1))
        await daemon.clock.advance(INTERVAL)
        await other.follower.read()
        at_once = daemon.store.transaction

        async def transaction(*arguments: object) -> int | None:
            await asyncio.sleep(0)
            return await at_once(*arguments)

        daemon.store.transaction = transaction
        restores = [each.recovery.restore(act=True, who=WHO) for each in (other, daemon)]
        ended = await asyncio.gather(*restores, return_exceptions=True)
        [refused] = [each for each in ended if isinstance(each, Refused)]
        assert "another machine has changed the store meanwhile" in str(refused)
        assert kept_of(await daemon.store.snapshot(ROOT)) in copies

    run(work)


def test_a_store_that_is_away_is_not_taken_for_a_daemon_that_exits():
    assert StoreUnavailable.http_status != Unreachable.http_status


def test_what_cannot_be_filled_says_so(run):
    async def work(daemon: Daemon) -> None:
        with pytest.raises(Refused, match="followed already"):
            await daemon.recovery.restore(act=True, who=WHO)
        new = Daemon(daemon.store, daemon.clock)
        with pytest.raises(Refused, match="this machine has no copy of it"):
            await new.recovery.restore(act=True, who=WHO)

    run(work)


def test_a_session_that_is_not_permitted_is_tried_again_soon_and_says_why(run):
    async def work(daemon: Daemon) -> None:
        async def refused(session: int) -> None:
            raise Failed("etcd does not permit this to m1")

        permitted, daemon.store.keep_session = daemon.store.keep_session, refused
        await daemon.clock.advance(4 * DURATION)
        [sentence] = daemon.troubles.sentences()
        assert sentence.endswith("etcd does not permit this to m1")
        daemon.store.keep_session = permitted
        await daemon.clock.advance(2 * INTERVAL)
        assert not daemon.troubles.sentences()
        assert daemon.session.is_held()

    run(work)


def test_a_subscriber_that_fails_keeps_nothing_from_being_followed(run):
    async def work(daemon: Daemon) -> None:
        def fail(changes: object) -> None:
            raise Failed("it cannot")

        daemon.follower.subscribe("a part", fail)
        daemon.follower.subscribe("another part", daemon.changes.append)
        await put(daemon.store, a=b"2")
        await settle()
        assert daemon.changes[-1]["a"].value == b"2"
        assert daemon.troubles.sentences() == ["a part: it cannot"]
        assert not daemon.follower.trouble

    run(work)


def test_a_machine_that_was_removed_leaves_nothing_in_the_store(run):
    async def work(daemon: Daemon) -> None:
        await daemon.clock.advance(INTERVAL)
        assert "present/m1" in daemon.values
        await daemon.store.transaction([], [Delete(ROOT + MEMBER), Delete(ROOT + "present/m1")])
        await daemon.clock.advance(3 * INTERVAL)
        assert not daemon.session.is_held()
        assert "present/m1" not in daemon.values
        await put(daemon.store, **{MEMBER: b""})  # it has joined again
        await daemon.clock.advance(INTERVAL)
        assert "present/m1" in daemon.values

    run(work)


def test_a_machine_that_was_replaced_leaves_the_store_to_its_successor(run):
    async def work(daemon: Daemon) -> None:
        """That of the successor."""
        engine = SimpleNamespace(**vars(daemon), events=None, intent=None)
        former = ClusterStore(engine, None, CLUSTER, "m1", daemon.store)
        former.serial = "1"
        tasks = [asyncio.create_task(_again(each)) for each in (former.follower, former.session)]
        for serial in ("", "1"):  # an older Portico wrote none
            await put(daemon.store, **{MEMBER: encode(SharedMachine("10.0.0.1", serial=serial))})
            await daemon.clock.advance(INTERVAL)
            assert former.session.is_held()
            assert await former.transaction([], [Put("progress/m1", b"1")])
        await put(daemon.store, **{MEMBER: encode(SharedMachine("10.0.0.1", serial="2"))})
        await daemon.clock.advance(2 * INTERVAL)
        assert not former.session.is_held()
        assert daemon.store.peek(f"{ROOT}present/m1").session == daemon.session.number
        with pytest.raises(StoreUnavailable, match="from its cluster, or replaced"):
            await former.transaction([], [Delete("progress/m1")])
        for task in tasks:
            task.cancel()

    run(work)
