"""What ports.Store promises, of etcd and of the fake that other tests use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from itertools import count

import pytest

from portico.adapters.store.etcd.store import EtcdStore
from portico.core.model.snapshot import (
    ABSENT,
    Changes,
    Compare,
    Delete,
    Put,
    StoreAddress,
)
from portico.ports.store import SessionEnded, Store, WatchEnded
from portico.system.clock import SystemClock
from tests import etcd as harness
from tests.etcd import Etcd, etcd
from tests.fakes.store import FakeStore
from tests.little_nginx import eventually

pytestmark = pytest.mark.skipif(bool(harness.MISSING), reason=harness.WHY_SKIPPED)
Work = Callable[["Shared"], Awaitable[None]]
PATIENCE = 60.0
"""Seconds that a test waits for what comes at once, on a machine that has much else to do."""


class Shared:
    """A store, and keys in it that are this test's own."""

    def __init__(self, store: Store, prefix: str, compact: Callable[[], None]) -> None:
        self.store, self.prefix, self.compact = store, prefix, compact

    async def put(self, key: str, value: bytes = b"", session: int = 0) -> int:
        done = await self.store.transaction([], [Put(self.prefix + key, value, session)])
        assert done
        return done

    async def values(self) -> dict[str, bytes]:
        found = await self.store.snapshot(self.prefix)
        return {key.removeprefix(self.prefix): item.value for key, item in found.items.items()}

    @asynccontextmanager
    async def watched(self, after: int) -> AsyncIterator[Callable[[], Awaitable[Changes]]]:
        async with aclosing(self.store.watch(self.prefix, after)) as changes:
            yield lambda: asyncio.wait_for(anext(changes), PATIENCE)


@pytest.fixture(scope="module")
def one_member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with etcd(tmp_path_factory.mktemp("etcd")) as started:
        yield started


numbers = count()


@pytest.fixture(params=["etcd", "fake"])
def run(request: pytest.FixtureRequest) -> Callable[[Work], None]:
    def run(work: Work) -> None:
        asyncio.run(ended(work))

    async def ended(work: Work) -> None:
        prefix = f"/test-{next(numbers)}/"
        if request.param == "fake":
            fake = FakeStore(SystemClock())
            await work(Shared(fake, prefix, fake.compact))
            return
        started: Etcd = request.getfixturevalue("one_member")
        store = EtcdStore(StoreAddress(started.urls), SystemClock())

        def compact() -> None:
            number = started.ctl("endpoint", "status", "-w", "fields").split('"Revision" : ')[1]
            started.ctl("compact", number.split()[0])

        try:
            await work(Shared(store, prefix, compact))
        finally:
            await store.close()

    return run


def test_a_snapshot_has_all_keys_of_a_prefix_with_the_revisions_of_their_changes(run):
    async def work(shared: Shared) -> None:
        first = await shared.put("a", b"\0\xff")
        await shared.put("b", b"1")
        last = await shared.put("b", b"2")
        await shared.store.transaction([], [Put("/other", b"")])
        found = await shared.store.snapshot(shared.prefix)
        assert await shared.values() == {"a": b"\0\xff", "b": b"2"}
        assert found.items[shared.prefix + "a"].revision == first
        assert found.items[shared.prefix + "b"].revision == last == first + 2
        assert found.items[shared.prefix + "b"].created == first + 1
        assert found.revision > last

    run(work)


def test_a_transaction_is_done_as_a_whole_or_not_at_all(run):
    async def work(shared: Shared) -> None:
        a, b = shared.prefix + "a", shared.prefix + "b"
        first = await shared.store.transaction([Compare(a, ABSENT)], [Put(a, b"1"), Put(b, b"1")])
        assert first
        assert await shared.store.transaction([Compare(a, ABSENT)], [Delete(b)]) is None
        assert await shared.store.transaction([Compare(a, first + 1)], [Delete(b)]) is None
        assert await shared.store.transaction([Compare("/absent", first)], [Delete(b)]) is None
        second = await shared.store.transaction([Compare(a, first)], [Put(a, b"2"), Delete(b)])
        assert second == first + 1
        assert await shared.values() == {"a": b"2"}
        assert await shared.store.transaction([Compare(a, created=first)], [Put(a, b"3")])
        assert await shared.store.transaction([Compare(a, created=second)], [Put(a, b"4")]) is None

    run(work)


def test_of_two_who_compare_with_the_same_only_one_writes(run):
    async def work(shared: Shared) -> None:
        turn = shared.prefix + "turn"
        tries = (
            shared.store.transaction([Compare(turn, ABSENT)], [Put(turn, b"%d" % each)])
            for each in range(5)
        )
        assert sum(1 for each in await asyncio.gather(*tries) if each) == 1

    run(work)


def test_a_watch_reports_each_change_once_and_in_order_from_where_it_is_said_to_begin(run):
    async def work(shared: Shared) -> None:
        before = await shared.put("a", b"0")
        await shared.put("a", b"1")
        async with shared.watched(before) as change:
            assert values(await change(), shared) == {"a": b"1"}
            await shared.store.transaction([], [Put("/other", b"")])
            await shared.store.transaction(
                [], [Delete(shared.prefix + "a"), Put(shared.prefix + "b", b"2")]
            )
            last = await change()
            assert values(last, shared) == {"a": None, "b": b"2"}
            await shared.put("c", b"3")
            assert (await change()).revision == last.revision + 1

    run(work)


def test_a_snapshot_with_what_was_watched_since_is_the_snapshot_of_now(run):
    async def work(shared: Shared) -> None:
        seen = await shared.store.snapshot(shared.prefix)
        async with shared.watched(seen.revision) as change:
            for each in range(20):
                await shared.put(str(each % 7), b"%d" % each)
            last = await shared.store.transaction([], [Delete(shared.prefix + "3")])
            while seen.revision < last:
                seen = seen.with_changes(await change())
        assert seen == await shared.store.snapshot(shared.prefix)

    run(work)


def test_a_watch_from_what_is_forgotten_ends(run):
    async def work(shared: Shared) -> None:
        before = await shared.put("a")
        await shared.put("a")
        await shared.put("a")
        shared.compact()
        async with shared.watched(before) as change:
            with pytest.raises(WatchEnded):
                await change()

    run(work)


def test_a_watch_from_a_revision_that_is_yet_to_come_ends(run):
    async def work(shared: Shared) -> None:
        async with shared.watched(await shared.put("a") + 100) as change:
            with pytest.raises(WatchEnded):
                await change()

    run(work)


def test_what_is_bound_to_a_session_ends_with_it(run):
    async def work(shared: Shared) -> None:
        session = await shared.store.open_session(60)
        await shared.put("present", session=session)
        after = await shared.put("other")
        await shared.store.keep_session(session)
        await shared.store.end_session(session)
        async with shared.watched(after) as change:
            assert values(await change(), shared) == {"present": None}
        assert await shared.values() == {"other": b""}
        await shared.store.end_session(session)
        with pytest.raises(SessionEnded):
            await shared.store.keep_session(session)
        with pytest.raises(SessionEnded):
            await shared.put("present", session=session)

    run(work)


def test_a_session_that_is_not_kept_ends_by_itself(run):
    async def work(shared: Shared) -> None:
        session = await shared.store.open_session(2)
        await shared.put("present", session=session)
        await eventually(lambda: is_empty(shared))
        with pytest.raises(SessionEnded):
            await shared.store.keep_session(session)

    run(work)


async def is_empty(shared: Shared) -> bool:
    return not await shared.values()


def values(changes: Changes, shared: Shared) -> dict[str, bytes | None]:
    return {
        key.removeprefix(shared.prefix): item and item.value for key, item in changes.items.items()
    }


def test_each_member_says_how_it_is_and_how_large(one_member):
    async def look() -> None:
        nobody = "http://127.0.0.1:1"
        store = EtcdStore(StoreAddress([*one_member.urls, nobody]), SystemClock())
        first, second = await store.health()
        assert (first.problem, first.endpoint) == ("", one_member.urls[0])
        assert first.size
        assert (second.size, second.endpoint) == (None, nobody)
        assert second.problem
        await store.close()

    asyncio.run(look())
