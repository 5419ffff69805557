"""An HTTP/1.1 connection to a member of etcd."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Final
from urllib.parse import urlsplit

import h11

from portico.system.connection_errors import connection_error

READ_SIZE: Final = 1 << 16


class ConnectionLost(Exception):
    """It cannot be used any longer. The text says why."""


class Connection:
    """Its calls raise ConnectionLost, and have no deadline of their own."""

    def __init__(
        self, url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.url, self._reader, self._writer = url, reader, writer
        self._http = h11.Connection(h11.CLIENT)

    @property
    def is_reusable(self) -> bool:
        """Whether the next request can be sent: the answer to the last one was read to its end."""
        if self._reader.at_eof() or self._writer.is_closing():
            return False
        return self._http.our_state is h11.IDLE

    async def ask(
        self, path: str, body: object, headers: list[tuple[str, str]], method: str = "POST"
    ) -> int:
        """Send a request and wait for the status of its answer; `data` has the rest."""
        content = json.dumps(body).encode()
        about = [
            ("Host", urlsplit(self.url).netloc),
            ("Content-Length", str(len(content))),
            *headers,
        ]
        request = h11.Request(method=method, target=path, headers=about)
        parts = (request, h11.Data(data=content), h11.EndOfMessage())
        try:
            self._writer.write(b"".join(self._http.send(part) or b"" for part in parts))
            await self._writer.drain()
            while not isinstance(event := await self._event(), h11.Response):
                pass  # an informational one (RFC 9110 15.2)
        except OSError as error:
            raise ConnectionLost(connection_error(error)) from error
        except h11.ProtocolError as error:
            raise ConnectionLost(f"it does not speak HTTP/1.1: {error}") from error
        return event.status_code

    async def data(self) -> bytes:
        """What has come of the answer; nothing at its end."""
        try:
            while True:
                match await self._event():
                    case h11.Data(data=data):
                        return bytes(data)
                    case h11.EndOfMessage():
                        if self._http.our_state is self._http.their_state is h11.DONE:
                            self._http.start_next_cycle()
                        return b""
                    case _:
                        return b""
        except OSError as error:
            raise ConnectionLost(connection_error(error)) from error
        except h11.ProtocolError as error:
            raise ConnectionLost(f"it does not speak HTTP/1.1: {error}") from error

    def close(self) -> None:
        self._writer.transport.abort()  # nothing that is under way is of use any more

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._reader.read(READ_SIZE)
            if not data:
                raise ConnectionLost("it closed the connection")
            self._http.receive_data(data)
        return event  # type: ignore[return-value]


async def connect(url: str, tls: ssl.SSLContext | None) -> Connection:
    """Raises ConnectionLost."""
    address = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(
            address.hostname, address.port, ssl=tls if address.scheme == "https" else None
        )
    except ssl.SSLCertVerificationError as error:
        why = f"{connection_error(error)} (--etcd-ca of `portico cluster init` sets its authority)"
        raise ConnectionLost(why) from error
    except OSError as error:
        raise ConnectionLost(connection_error(error)) from error
    return Connection(url, reader, writer)
