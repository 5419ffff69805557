"""One probe of an instance: a TCP connection, or an HTTP/1.1 GET, at 127.0.0.1.

That is where nginx asks, so an instance that only answers elsewhere is not well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import h11

from portico.core.model.app import Check

LARGEST_BODY: Final = 1 << 16
"""Bytes of an answer that are waited for; its status is the verdict."""
GOOD: Final = range(200, 400)


class NoHttp(Exception):
    def __init__(self, data: bytes) -> None:
        # RFC 8446 5.1: an alert or a handshake.
        is_tls = data[:2] in {b"\x15\x03", b"\x16\x03"}
        super().__init__(f"is no HTTP: it {'speaks TLS' if is_tls else f'sent {data[:20]!r}'}")


class LoopbackProbes:
    async def probe(self, check: Check, port: int) -> str | None:
        try:
            async with asyncio.timeout(check.timeout), _connection(port) as (reader, writer):
                return await _get(check, port, reader, writer) if check.path else None
        except TimeoutError:
            return f"no answer within {check.timeout:g}s"
        except ConnectionRefusedError:
            return await _elsewhere(port)
        except (ConnectionError, EOFError):
            return "closed the connection without an answer"
        except NoHttp as error:
            return str(error)
        except OSError as error:
            return f"cannot connect to port {port}: {error.strerror or error}"


@asynccontextmanager
async def _connection(
    port: int, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        # Where nobody listens, a connection to a port of the ephemeral range can, by chance,
        # get that very port as its own and reach itself (RFC 9293 3.5, simultaneous open).
        if writer.get_extra_info("sockname") == writer.get_extra_info("peername"):
            raise ConnectionRefusedError
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _get(
    check: Check, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> str | None:
    http = h11.Connection(h11.CLIENT)
    headers = [
        ("Host", check.host or f"127.0.0.1:{port}"),
        ("User-Agent", "portico"),
        ("Accept", "*/*"),
        ("Connection", "close"),
    ]
    request = h11.Request(method="GET", target=check.path or "/", headers=headers)
    writer.write((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    status = await _status(http, reader)
    return None if status in (check.status or GOOD) else f"answered {status}"


async def _status(http: h11.Connection, reader: asyncio.StreamReader) -> int:
    """The answer is read to its end, so that the program does not see its visitor break off."""
    status, received, data = 0, 0, b""
    while received < LARGEST_BODY:
        try:
            event = http.next_event()
        except h11.RemoteProtocolError:
            if status:
                break
            raise NoHttp(data) from None
        match event:
            case h11.NEED_DATA:
                if not (data := await reader.read(LARGEST_BODY)):
                    break
                http.receive_data(data)
            case h11.Response():
                status = event.status_code
            case h11.Data():
                received += len(event.data)
            case h11.EndOfMessage() | h11.ConnectionClosed():
                break
            case _:  # 1xx
                pass
    if not status:
        raise EOFError
    return status


async def _elsewhere(port: int) -> str:
    """An app that listens on `localhost` may have got ::1 for it, and nothing else."""
    with suppress(OSError):
        async with asyncio.timeout(1), _connection(port, "::1"):
            return f"listens on [::1]:{port} only: make it listen on 127.0.0.1"
    return f"nothing listens on port {port}"
