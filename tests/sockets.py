"""WebSockets held open by a test, and how each of them ended."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.stack import Stack


class Held:
    """One WebSocket on which a message goes to and fro all the time."""

    def __init__(self, connection: ClientConnection, pid: int) -> None:
        self.connection, self.pid = connection, pid
        self.messages = 0
        self.over = asyncio.Event()
        self.ended_at: float | None = None
        self.code: int | None = None
        """With which it was closed; 1006 if it was just cut (RFC 6455 7.1.5)."""

    async def talk(self) -> None:
        try:
            while True:
                await self.connection.send("hello")
                assert json.loads(await self.connection.recv())["pid"] == self.pid
                self.messages += 1
                await asyncio.sleep(0.1)
        except ConnectionClosed:
            self.ended_at, self.code = time.monotonic(), self.connection.close_code
            self.over.set()


@asynccontextmanager
async def held(stack: Stack, site: str, count: int) -> AsyncIterator[list[Held]]:
    """Open so many, and let them talk until they are closed or the test has seen enough."""
    sockets = [await _open(stack, site) for _ in range(count)]
    tasks = [asyncio.create_task(each.talk()) for each in sockets]
    try:
        yield sockets
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in sockets:
            await each.connection.close()


async def _open(stack: Stack, site: str) -> Held:
    connection = await connect(
        f"wss://{site}:{stack.https}/", host="127.0.0.1", ssl=stack.tls(), proxy=None
    )
    await connection.send("who")
    return Held(connection, json.loads(await connection.recv())["pid"])


async def ended(sockets: list[Held], within: float) -> None:
    async with asyncio.timeout(within):
        for each in sockets:
            await each.over.wait()
