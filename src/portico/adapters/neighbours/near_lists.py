"""Lists of what is ready on machines, carried by their nginxes: ours is a file, others' are asked
for on a unix socket, and nginx does the TLS (`core/render/machine_server.py`). What daemons report
to each other takes the same way.

In Python the TLS of 49 neighbours, two times a second, took 8 % of a core and 16 MB more.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final

import h11

from portico.core.model.neighbour import drained_mark_path, near_list_path, neighbours_socket
from portico.errors import Failed, Rejected
from portico.system.files import write

READ_SIZE: Final = 1 << 14
MAX_LIST_SIZE: Final = 1 << 20
MAX_REPORT_SIZE: Final = 8 << 20
"""A status of ten thousand instances is below 6 MiB."""
READABLE_MODE: Final = 0o644
"""nginx's workers are another user."""
_REASONS: Final[Mapping[int, str]] = {
    HTTPStatus.BAD_GATEWAY: "it does not accept connections, or its certificate is not valid",
    HTTPStatus.GATEWAY_TIMEOUT: "it does not answer in time",
    HTTPStatus.BAD_REQUEST: "it does not accept the certificate of this machine",
    HTTPStatus.FORBIDDEN: "it does not accept this machine",
    HTTPStatus.SERVICE_UNAVAILABLE: "porticod does not answer there",
}

_REFUSALS: Final = frozenset((HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN))
"""What the other machine's nginx answers. That of this one has its own where the other gives no
answer, or where it lacks sockets itself: 500.
"""


class NearLists:
    """Implements `Neighbours`."""

    def __init__(self, home: str) -> None:
        self._file, self._socket = Path(near_list_path(home)), neighbours_socket(home)
        self._drained = Path(drained_mark_path(home))

    async def ask(self, machine: str) -> bytes:
        status, body = await self._answer(f"/{machine}/near.json", MAX_LIST_SIZE)
        if status == HTTPStatus.NOT_FOUND:
            return b""
        if status in _REFUSALS:
            raise Rejected(_reason(status))
        if status != HTTPStatus.OK:
            raise Failed(_reason(status))
        return body

    async def report(self, machine: str, target: str) -> bytes:
        status, body = await self._answer(f"/{machine}{target}", MAX_REPORT_SIZE)
        if status == HTTPStatus.OK:
            return body
        if why := _error_in(body):
            raise Failed(why)
        is_older = status == HTTPStatus.NOT_FOUND
        raise Failed("its Portico is older, and reports nothing" if is_older else _reason(status))

    async def _answer(self, path: str, most: int) -> tuple[int, bytes]:
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket)
        except OSError as error:
            raise Failed(f"nginx of this machine does not answer: {error.strerror}") from None
        try:
            return await _get(path, reader, writer, most)
        except (OSError, EOFError, h11.RemoteProtocolError) as error:
            raise Failed(f"nginx of this machine gives no answer: {error}") from None
        finally:
            writer.transport.abort()

    async def announce(self, text: str, *, drained: bool) -> None:
        try:
            await asyncio.to_thread(self._write, text, drained=drained)
        except OSError as error:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)
            raise Failed(
                f"cannot write {self._file}: {error.strerror}; other machines send no requests "
                "to this machine until it can be written"
            ) from None

    def _write(self, text: str, *, drained: bool) -> None:
        write(self._file, text, READABLE_MODE)
        if drained:
            write(self._drained, "", READABLE_MODE)
        else:
            self._drained.unlink(missing_ok=True)


def _reason(status: int) -> str:
    return _REASONS.get(status, f"it answers {status}")


def _error_in(body: bytes) -> str:
    """What a daemon has refused, as its ErrorView says it; empty for an answer of nginx."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


async def _get(
    path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int
) -> tuple[int, bytes]:
    http = h11.Connection(h11.CLIENT)
    head = h11.Request(
        method="GET", target=path, headers=[("Host", "neighbours"), ("Connection", "close")]
    )
    writer.write((http.send(head) or b"") + (http.send(h11.EndOfMessage()) or b""))
    status, body = 0, bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(READ_SIZE))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > most:
                raise EOFError(f"more than {most} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(body)
        else:  # its connection was closed
            raise EOFError("the connection was closed")
