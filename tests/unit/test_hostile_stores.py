"""What answers in the place of etcd: no answer of it is worse than none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

import pytest

from portico.adapters.store.etcd.store import EtcdStore
from portico.core.model.stored import ABSENT, Compare, Put, StoreAddress
from portico.ports.store import OutcomeUnknown, StoreUnavailable, WatchEnded
from portico.system.clock import SystemClock

DEEP = b'{"header":' + b"[" * 5000 + b"]" * 5000 + b"}"
ANY = b'{"header":{"revision":"1"}}'


@asynccontextmanager
async def store(answers: Mapping[str, bytes]) -> AsyncIterator[EtcdStore]:
    """Of a member that answers so, by path."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = answers[head.split()[1].decode()]
        writer.write(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        writer.write(body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    found = EtcdStore(StoreAddress([f"http://127.0.0.1:{port}"]), SystemClock())
    try:
        yield found
    finally:
        await found.close()
        server.close()


def test_an_answer_of_any_depth_is_an_answer_that_cannot_be_read():
    async def run() -> None:
        deep = {"/v3/kv/range": DEEP, "/v3/watch": DEEP + b"\n", "/v3/maintenance/status": DEEP}
        async with store(deep) as found:
            with pytest.raises(StoreUnavailable, match="does not answer as etcd does"):
                await found.snapshot("/")
            async with aclosing(found.watch("/", 1)) as changes:
                with pytest.raises(WatchEnded):
                    await anext(changes)
            [health] = await found.health()
            assert health.problem
        async with store({"/v3/kv/range": ANY, "/v3/kv/txn": DEEP}) as found:
            with pytest.raises(OutcomeUnknown):
                await found.transaction([Compare("/a", ABSENT)], [Put("/a", b"1")])

    asyncio.run(run())


@pytest.mark.parametrize(
    ("written", "quota"),
    [(b"8e+09", 8_000_000_000), (b"NaN", None), (b"+Inf", None), (b"x", None)],
)
def test_a_quota_that_is_no_number_is_unknown(written, quota):
    async def run() -> None:
        answers = {
            "/v3/maintenance/status": ANY,
            "/metrics": b"etcd_server_quota_backend_bytes " + written + b"\n",
        }
        async with store(answers) as found:
            [health] = await found.health()
            assert health.quota == quota

    asyncio.run(run())
