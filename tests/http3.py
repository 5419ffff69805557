"""A client of HTTP/3."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent

DEADLINE = 60.0  # seconds


@dataclass
class Response:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> dict[str, object]:
        return json.loads(self.body)


def ask_by_http3(
    name: str, port: int, authority: str, *path: str, ca: str, body: bytes | None = None
) -> list[Response]:
    """One connection for all paths, asked at once; raises OSError where it was refused."""
    return asyncio.run(_ask(name, port, authority, path, ca, body))


async def _ask(
    name: str, port: int, authority: str, paths: tuple[str, ...], ca: str, body: bytes | None
) -> list[Response]:
    settings = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=name)
    settings.load_verify_locations(ca)
    async with (
        asyncio.timeout(DEADLINE),
        connect("127.0.0.1", port, configuration=settings, create_protocol=_Client) as client,
    ):
        return await asyncio.gather(*(client.ask(authority, path, body) for path in paths))


class _Client(QuicConnectionProtocol):
    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._http = H3Connection(self._quic)
        self._open: dict[int, tuple[Response, asyncio.Future[Response]]] = {}

    async def ask(self, authority: str, path: str, body: bytes | None) -> Response:
        stream = self._quic.get_next_available_stream_id()
        ended = asyncio.get_running_loop().create_future()
        self._open[stream] = Response(), ended
        method = b"GET" if body is None else b"POST"
        head = [(b":method", method), (b":scheme", b"https")]
        head += [(b":authority", authority.encode()), (b":path", path.encode())]
        self._http.send_headers(stream, head, end_stream=body is None)
        if body is not None:
            self._http.send_data(stream, body, end_stream=True)
        self.transmit()
        return await ended

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            for _, ended in self._open.values():
                if not ended.done():
                    ended.set_exception(ConnectionError(event.reason_phrase))
        for part in self._http.handle_event(event):
            self._take(part)

    def _take(self, part: H3Event) -> None:
        if not isinstance(part, HeadersReceived | DataReceived):
            return
        response, ended = self._open[part.stream_id]
        if isinstance(part, HeadersReceived):
            headers = {name.decode(): value.decode() for name, value in part.headers}
            response.status = int(headers.pop(":status", "0"))
            response.headers |= headers
        else:
            response.body += part.data
        if part.stream_ended:
            ended.set_result(response)
