"""How long etcd keeps an operator waiting, and when a machine follows it again: in the time of the
event loop, which stands still while the machine has no time. So the limits are those promised.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    closing,
    suppress,
)

import pytest

from portico.adapters.store.etcd.store import EtcdStore
from portico.adapters.store.etcd.wire import encode as base64_of
from portico.core.model.shared import SCHEMA, ClusterRecord, encode
from portico.core.model.snapshot import Put, StoreAddress
from portico.core.planning.mirroring import prefix_of
from portico.engine.cluster.store_follower import StoreFollower
from portico.engine.troubles import Troubles
from portico.ports.store import StoreUnavailable
from portico.system.clock import SystemClock
from tests.fakes.state import MemoryState

CLUSTER = "6a1c"
HEAD = "HTTP/1.1 200 OK\r\n"
MEMBERS = 3
MAX_REFUSAL_TIME, MAX_LATENESS = 3.0, 35.0
"""Seconds, by docs/cluster.md."""
DELIVERY_TIME = 0.01
"""Seconds that the kernel has for what one socket sends another."""
AWAY = 600.0
"""Seconds of the loop, which leaps."""
Members = AbstractAsyncContextManager[list[int]]
"""Their ports."""


class LeapingLoop(asyncio.SelectorEventLoop):
    """Where no socket has anything for it, it is the time of the next timer."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Leaps(self))

    def time(self) -> float:
        return self.now


class _Leaps(selectors.DefaultSelector):
    def __init__(self, loop: LeapingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list:
        found = super().select(timeout and DELIVERY_TIME)
        if timeout and not found:
            self._loop.now += timeout
        return found


@asynccontextmanager
async def dead() -> AsyncIterator[list[int]]:
    """Nobody listens there."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    yield [port] * MEMBERS


@asynccontextmanager
async def stopped() -> AsyncIterator[list[int]]:
    """The kernel takes connections for them."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        yield [silent.getsockname()[1]] * MEMBERS


@asynccontextmanager
async def stopped_before_the_change() -> AsyncIterator[list[int]]:
    """Each answers what it is asked first."""
    async with Member().listening() as port:
        yield [port] * MEMBERS


class Member:
    """It answers what is read, and takes watches, which tell what was changed before."""

    def __init__(self) -> None:
        self.revision, self.is_stopped = 1, False

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """On that port."""
        async with await asyncio.start_server(self._answer, "127.0.0.1", 0) as server:
            yield server.sockets[0].getsockname()[1]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(ConnectionError, asyncio.CancelledError):
            asked = await reader.readuntil(b"\r\n\r\n")
            length = int(asked.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            if not self.is_stopped and b"/kv/range" in asked:
                answer = json.dumps(self._about() | {"kvs": self._items()})
                writer.write(f"{HEAD}Content-Length: {len(answer)}\r\n\r\n{answer}".encode())
            if not self.is_stopped and b"/watch" in asked:
                answer = json.dumps({"result": self._begun(json.loads(body)["create_request"])})
                writer.write(f"{HEAD}\r\n{answer}\n".encode())
            await reader.read()

    def _begun(self, request: dict[str, int]) -> dict[str, object]:
        is_behind = request["start_revision"] <= self.revision
        events = [{"kv": each} for each in self._items()] if is_behind else []
        return self._about() | {"created": True, "events": events}

    def _about(self) -> dict[str, object]:
        return {"header": {"revision": self.revision}}

    def _items(self) -> list[dict[str, object]]:
        record = encode(ClusterRecord(least=SCHEMA))
        values = {"cluster": record, "number": str(self.revision).encode()}
        about = {"create_revision": 1, "mod_revision": self.revision}
        return [
            {"key": base64_of(prefix_of(CLUSTER) + key), "value": base64_of(value), **about}
            for key, value in values.items()
        ]


@pytest.mark.parametrize("members", [dead, stopped, stopped_before_the_change])
def test_a_change_is_refused_within_three_seconds(members: Callable[[], Members]) -> None:
    async def change(store: EtcdStore) -> None:
        await store.transaction([], [Put("key", b"")])

    assert seconds_until_refused(members, change) <= MAX_REFUSAL_TIME


@pytest.mark.parametrize("members", [dead, stopped])
def test_a_store_that_is_not_there_is_known_within_three_seconds(
    members: Callable[[], Members],
) -> None:
    async def read(store: EtcdStore) -> None:
        await store.snapshot("/portico/")

    assert seconds_until_refused(members, read) <= MAX_REFUSAL_TIME


def seconds_until_refused(
    members: Callable[[], Members], work: Callable[[EtcdStore], Awaitable[None]]
) -> float:
    async def refused() -> float:
        async with members() as ports:
            store = EtcdStore(_address(ports), LoopClock())
            with pytest.raises(StoreUnavailable):
                await work(store)
            await store.close()
        return asyncio.get_running_loop().time()

    return run(refused())


class LoopClock(SystemClock):
    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def jitter(self) -> float:
        """The longest pause that there is."""
        return 1.0


def test_a_change_that_a_silent_member_does_not_tell_is_known_within_35_seconds() -> None:
    async def seconds_until_current() -> float:
        async with followed() as (follower, members):
            members[0].is_stopped = True
            return await _seconds_until_known(follower, members)

    assert run(seconds_until_current()) <= MAX_LATENESS


@pytest.mark.slow
def test_a_store_is_followed_again_35_seconds_after_it_is_back() -> None:
    async def seconds_until_current() -> float:
        async with followed() as (follower, members):
            for each in members:
                each.is_stopped = True
            await asyncio.sleep(AWAY)
            assert follower.trouble
            for each in members:
                each.is_stopped = False
            return await _seconds_until_known(follower, members)

    assert run(seconds_until_current()) <= MAX_LATENESS


@asynccontextmanager
async def followed() -> AsyncIterator[tuple[StoreFollower, list[Member]]]:
    members, clock = [Member(), Member()], LoopClock()
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(each.listening()) for each in members]
        store, state = EtcdStore(_address(ports), clock), MemoryState()
        follower = StoreFollower(
            CLUSTER, store=store, state=state, troubles=Troubles(), clock=clock
        )
        following = asyncio.create_task(_again(follower))
        await _until(lambda: not follower.trouble)
        yield follower, members
        following.cancel()
        await store.close()


async def _again(follower: StoreFollower) -> None:
    while True:
        await follower.look()
        await follower.pause()


async def _seconds_until_known(follower: StoreFollower, members: list[Member]) -> float:
    """After a change that no watch tells of."""
    loop = asyncio.get_running_loop()
    for each in members:
        each.revision += 1
    begun, known = loop.time(), str(members[0].revision).encode()
    await _until(lambda: follower.items["number"].value == known)
    return loop.time() - begun


async def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - time passes as quickly as it can
        await asyncio.sleep(0.5)


def _address(ports: list[int]) -> StoreAddress:
    return StoreAddress([f"http://127.0.0.1:{port}" for port in ports])


def run(work: Coroutine[None, None, float]) -> float:
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        return runner.run(work)
