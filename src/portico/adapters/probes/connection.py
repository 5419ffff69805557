"""A TCP connection to an instance, with as little around it as can be: probes are many."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

READ_SIZE: Final = 1 << 14
"""Bytes that are read at a time: to take them apart is not to hold others of the loop up."""
MAX_ANSWER_SIZE: Final = 1 << 19
"""Bytes that are read of one answer."""


class AnswerTooLong(Exception):
    """It has sent MAX_ANSWER_SIZE bytes, and its answer has not ended."""

    def __init__(self) -> None:
        super().__init__(f"sent more than {MAX_ANSWER_SIZE >> 10} KiB in answer")


class Exchange(Protocol):
    async def send(self, data: bytes) -> None: ...

    async def receive(self) -> bytes:
        """What has come; nothing at the end. Raises AnswerTooLong."""


class Connection:
    def __init__(self, of: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._socket, self._loop = of, loop
        self._left = MAX_ANSWER_SIZE

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def receive(self) -> bytes:
        """What has come; nothing at the end. Raises TooLong."""
        if self._left <= 0:
            raise AnswerTooLong
        if self._left < MAX_ANSWER_SIZE:
            # What is there is read without a turn of the loop, and so without a look at the
            # deadline.
            await asyncio.sleep(0)
        data = await self._loop.sock_recv(self._socket, READ_SIZE)
        self._left -= len(data)
        return data


class WrongProtocol(Exception):
    """It does not speak the protocol that it was asked in."""

    def __init__(self, protocol: str, data: bytes) -> None:
        # RFC 8446 5.1: an alert or a handshake.
        is_tls = data[:2] in {b"\x15\x03", b"\x16\x03"}
        what = "speaks TLS" if is_tls else f"sent {data[:20]!r}"
        super().__init__(f"does not speak {protocol}: it {what}")


@asynccontextmanager
async def connect(port: int, host: str = "127.0.0.1") -> AsyncIterator[Connection]:
    """Asyncio's streams would cost as much again as all of the probe."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as plain:
        plain.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            plain.connect((host, port))
        except BlockingIOError:
            # On loopback it is connected by now, and the loop has not to watch it.
            await loop.sock_connect(plain, (host, port))
        # Where nobody listens, a connection to a port of the ephemeral range can, by chance,
        # get that very port as its own and reach itself (RFC 9293 3.5, simultaneous open).
        if plain.getsockname() == plain.getpeername():
            raise ConnectionRefusedError
        yield Connection(plain, loop)
