"""One keep-alive connection of HTTP/1.1, for a load that must know what became of each."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass

UPLOAD_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    pid: str
    instance: str


class Connection:
    """One keep-alive connection of HTTP/1.1, one request at a time; it can be opened again."""

    def __init__(self, address: str, port: int, tls: ssl.SSLContext | None, host: str) -> None:
        self._address, self._port, self._tls, self._host = address, port, tls, host
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self._closing = False
        self.own = 0
        """This side's port, known as soon as TCP is connected."""

    @property
    def is_open(self) -> bool:
        writer = self._writer
        gone = writer is None or self._closing or self._reader.at_eof() or writer.is_closing()
        return not gone

    async def open(self) -> None:
        self.close()
        self._reader, self._writer = await asyncio.open_connection(
            sock=await self.reach(),
            ssl=self._tls,
            server_hostname=self._host if self._tls else None,
        )
        self._closing = False

    async def reach(self) -> socket.socket:
        self.own = 0
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        reached = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(reached, (self._address, self._port))
        except BaseException:
            reached.close()
            raise
        self.own = reached.getsockname()[1]
        return reached

    async def ask(self, message: bytes, *, rest: int = 0, pause: float = 0.0) -> Answer:
        """Send the message, then `rest` more bytes with a pause after each chunk."""
        assert self._writer is not None
        self._writer.write(message)
        while rest:
            chunk = min(rest, UPLOAD_CHUNK)
            self._writer.write(b"u" * chunk)
            await self._writer.drain()
            rest -= chunk
            await asyncio.sleep(pause)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        await self._skip_body(headers)
        self._closing = headers.get("connection", "").lower() == "close"
        status = int(first.split(" ", 2)[1])
        return Answer(status, headers.get("x-pid", ""), headers.get("x-instance", ""))

    async def _skip_body(self, headers: dict[str, str]) -> None:
        if "content-length" in headers:
            await self._reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(await self._reader.readline(), 16):
                await self._reader.readexactly(size + 2)
            await self._reader.readline()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
