"""Asks a site for its first page through nginx, on the address that nginx listens on."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import h11

from portico.core.model.desired import Listeners
from portico.core.model.site import Site

DEADLINE: Final = 10.0
SILENT: Final = frozenset({502, 504})
"""What nginx answers itself when nothing behind it does."""
LARGEST_READ: Final = 65536


class Visitor:
    """Implements `ports.Sites`."""

    def __init__(self) -> None:
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        # Which certificate is served is not the question here, and it may be anybody's own.
        self._tls.verify_mode = ssl.CERT_NONE

    async def ask(self, name: str, site: Site, listeners: Listeners) -> str | None:
        host = name.replace("*", "any", 1)
        address = _reachable(listeners.addresses)
        port = listeners.https if site.https else listeners.http
        try:
            async with asyncio.timeout(DEADLINE):
                status = await self._status(address, port, host, tls=site.https)
        except TimeoutError:
            return f"no answer within {DEADLINE:g}s"
        except (OSError, h11.RemoteProtocolError) as error:
            return f"{address}:{port}: {error.__class__.__name__}: {error}"
        if status in SILENT:
            return f"nginx answers {status}: nothing behind it does"
        return None

    async def _status(self, address: str, port: int, host: str, *, tls: bool) -> int:
        reader, writer = await asyncio.open_connection(
            address,
            port,
            ssl=self._tls if tls else None,
            server_hostname=host if tls else None,
        )
        try:
            return await _first_status(reader, writer, host)
        finally:
            writer.transport.abort()


async def _first_status(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
) -> int:
    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", host), ("User-Agent", "portico"), ("Connection", "close")]
    request = connection.send(h11.Request(method="GET", target="/", headers=headers))
    writer.write((request or b"") + (connection.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(LARGEST_READ))
        elif isinstance(event, h11.Response):
            return event.status_code


def _reachable(addresses: tuple[str, ...]) -> str:
    """An address to connect to for what nginx listens on."""
    first = addresses[0].strip("[]")
    return {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(first, first)  # noqa: S104 - not bound, replaced
