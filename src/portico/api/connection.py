"""One connection of HTTP/1.1 (RFC 9112): a request is read, answered, and then the next one.

h11 knows the protocol; here are its octets, and how long anybody is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Final

import h11

from portico.api.app import Answer, Request, refusal
from portico.api.open_requests import OpenRequests
from portico.core.model.event import Requester

MAX_BODY_SIZE: Final = 32 << 20  # a file of 5,000 sites is below 5 MiB
IDLE_TIMEOUT: Final = 60.0
"""Seconds until a client begins a request, or takes what it is sent; as long it may send one."""
_READ_SIZE: Final = 1 << 16
_BAD_REQUEST, _TOO_LARGE = 400, 413


class TooLarge(Exception):
    pass


class Connection:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        who: Requester,
        answer: Callable[[Request], Awaitable[Answer]],
        requests: OpenRequests,
        max_body_size: int = MAX_BODY_SIZE,
    ) -> None:
        self._reader, self._writer, self._who, self._answer = reader, writer, who, answer
        self._max_body_size = max_body_size
        self._http = h11.Connection(h11.SERVER)
        self._requests, self._end_request = requests, requests.begin()  # who connects asks at once
        self._deadline = 0.0
        """Of the next request, on the clock of the event loop."""
        self.is_idle = False
        """It has had an answer, and has asked nothing since."""
        self.is_last = False
        """Whether it ends after the request that is under way."""

    async def serve(self) -> None:
        """Returns when either side has ended it, or let the other wait for too long."""
        try:
            while await self._serve_one() and not self.is_last:
                self._http.start_next_cycle()
        except* (OSError, TimeoutError, h11.ProtocolError):
            pass  # the client is gone, or speaks no HTTP
        finally:
            self._end_request()

    async def _serve_one(self) -> bool:
        """Whether another request may follow."""
        try:
            request = await self._request()
        except TooLarge:
            answer = refusal(_TOO_LARGE, f"a request has at most {self._max_body_size} bytes")
        except h11.RemoteProtocolError as error:
            answer = refusal(error.error_status_hint or _BAD_REQUEST, str(error))
        else:
            if request is None:
                return False
            answer = await self._answer(request)
        await self._send(answer)
        self._end_request()
        self.is_idle = True
        return bool(self._http.our_state is self._http.their_state is h11.DONE)

    async def _request(self) -> Request | None:
        """None where the client has ended the connection."""
        head, body = None, bytearray()
        self._restart_timeout()
        while True:
            match event := await self._event():
                case h11.Request():
                    head = event
                case h11.Data():
                    body += event.data
                    if len(body) > self._max_body_size:
                        raise TooLarge
                case h11.EndOfMessage() if head is not None:
                    method, target = head.method.decode(), head.target.decode("latin-1")
                    headers = {
                        name.decode(): value.decode("latin-1") for name, value in head.headers
                    }
                    return Request(method, target, self._who, bytes(body), headers)
                case _:
                    return None

    async def _event(self) -> h11.Event:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await self._write(self._http.send(go_on))
            async with asyncio.timeout_at(self._deadline):
                self._http.receive_data(await self._reader.read(_READ_SIZE))
            if self.is_idle:
                self.is_idle, self._end_request = False, self._requests.begin()
                self._restart_timeout()
        assert not isinstance(event, type)  # noqa: S101 - PAUSED: nobody sends on before an answer
        return event

    def _restart_timeout(self) -> None:
        self._deadline = asyncio.get_running_loop().time() + IDLE_TIMEOUT

    async def _send(self, answer: Answer) -> None:
        headers = [("Content-Type", answer.media), *answer.headers.items()]
        if isinstance(answer.body, str | bytes):
            body = answer.body.encode() if isinstance(answer.body, str) else answer.body
            headers.append(("Content-Length", str(len(body))))
            await self._begin(answer.status, headers)
            await self._write(self._http.send(h11.Data(data=body)))
        else:
            await self._begin(answer.status, [*headers, ("Connection", "close")])
            await self._stream(answer.body)
        await self._write(self._http.send(h11.EndOfMessage()))

    async def _begin(self, status: int, headers: list[tuple[str, str]]) -> None:
        response = h11.Response(
            status_code=status, headers=headers, reason=HTTPStatus(status).phrase
        )
        await self._write(self._http.send(response))

    async def _stream(self, lines: AsyncIterator[str]) -> None:
        """Until it ends, or its reader does: one who only listens sends nothing any more."""

        async def send() -> None:
            async for line in lines:
                await self._write(self._http.send(h11.Data(data=line.encode())))

        async def listen() -> None:
            while await self._reader.read(_READ_SIZE):
                pass
            sending.cancel()

        async with asyncio.TaskGroup() as group:
            sending = group.create_task(send())
            listening = group.create_task(listen())
            sending.add_done_callback(lambda _: listening.cancel())

    async def _write(self, data: bytes | None) -> None:
        self._writer.write(data or b"")
        async with asyncio.timeout(IDLE_TIMEOUT):
            await self._writer.drain()
