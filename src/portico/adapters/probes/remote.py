"""Servers elsewhere: addresses from the system's resolver; a probe is a TCP connection, or an
HTTP/1.1 request, with TLS or without.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from portico.adapters.probes.connection import (
    MAX_ANSWER_SIZE,
    READ_SIZE,
    AnswerTooLong,
    WrongProtocol,
)
from portico.adapters.probes.http import ask_http
from portico.core.model.check import Check, TlsToServer
from portico.core.model.names import is_ip
from portico.errors import Failed

RESOLVE_TIMEOUT: Final = 5.0  # seconds


class RemoteServers:
    """Implements `Servers`."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[str | None, bool, float], ssl.SSLContext] = {}

    async def addresses(self, host: str) -> tuple[str, ...]:
        if is_ip(host):
            return (host,)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise Failed(f"cannot resolve {host}: no answer in {RESOLVE_TIMEOUT:g}s") from None
        except OSError as error:
            raise Failed(f"cannot resolve {host}: {error.strerror or error}") from None
        unscoped = {str(each[4][0]) for each in found if "%" not in str(each[4][0])}
        return tuple(sorted(unscoped, key=lambda each: (ip_address(each).version, each)))

    async def probe(
        self, check: Check, address: str, port: int, tls: TlsToServer | None
    ) -> str | None:
        try:
            context = await asyncio.to_thread(self._context, tls) if tls else None
            async with asyncio.timeout(check.limit):
                return await _ask(check, address, port, context, tls.name if tls else None)
        except TimeoutError:
            return f"no answer within {check.limit:g}s"
        except (WrongProtocol, AnswerTooLong) as error:
            return str(error)
        except (OSError, EOFError) as error:
            return _trouble(error)

    def _context(self, tls: TlsToServer) -> ssl.SSLContext:
        """Read again when the file of authorities has changed. Blocks."""
        changed = Path(tls.authorities).stat().st_mtime if tls.authorities else 0.0
        key = tls.authorities, tls.is_verified, changed
        if key not in self._contexts:
            context = ssl.create_default_context(cafile=tls.authorities)
            if not tls.is_verified:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self._contexts[key] = context
        return self._contexts[key]


class _Stream:
    """What `ask_http` sends to and receives from."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self._left = reader, writer, MAX_ANSWER_SIZE

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self) -> bytes:
        if self._left <= 0:
            raise AnswerTooLong
        data = await self._reader.read(READ_SIZE)
        self._left -= len(data)
        return data


async def _ask(
    check: Check, address: str, port: int, context: ssl.SSLContext | None, name: str | None
) -> str | None:
    reader, writer = await asyncio.open_connection(
        address, port, ssl=context, server_hostname=name if context else None
    )
    try:
        return await ask_http(check, port, _Stream(reader, writer)) if check.path else None
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


def _trouble(error: OSError | EOFError) -> str:
    match error:
        case ConnectionRefusedError():
            return "refuses connections"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or error}"
        case ConnectionError() | EOFError():
            return "closed the connection without answering"
        case _:
            return f"cannot connect: {error.strerror or error}"
