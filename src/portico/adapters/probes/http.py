"""An HTTP/1.1 request to an instance, and what is wrong with the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import h11

from portico.adapters.probes.connection import READ, Connection, NotSpoken
from portico.core.model.check import Check

LARGEST_SEARCHED: Final = 1 << 18
"""Bytes of a body that are searched; of one that is not searched, READ are waited for."""
GOOD: Final = range(200, 400)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


async def ask_http(check: Check, port: int, connection: Connection) -> str | None:
    http = h11.Connection(h11.CLIENT)
    request = h11.Request(
        method=check.method, target=check.path or "/", headers=_head(check, port)
    )
    await connection.send((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
    answer = await _answer(http, connection, READ if check.body is None else LARGEST_SEARCHED)
    if answer.status not in (check.status or GOOD):
        return f"answered {answer.status}"
    if check.body is not None and not _holds(answer.body, check.body):
        return f"answered {answer.status} without {check.body!r}"
    return None


def _head(check: Check, port: int) -> list[tuple[str, str]]:
    standard = {
        "Host": check.host or f"127.0.0.1:{port}",
        "User-Agent": "portico",
        "Accept": "*/*",
        "Connection": "close",
    }
    own = {name.lower() for name in check.headers}
    kept = {name: value for name, value in standard.items() if name.lower() not in own}
    return [*kept.items(), *check.headers.items()]


def _holds(body: bytes, wanted: str) -> bool:
    text = body.decode(errors="replace")
    if wanted.startswith("~"):
        return re.search(wanted[1:].strip(), text) is not None
    return wanted in text


async def _answer(http: h11.Connection, connection: Connection, limit: int) -> Answer:
    """The answer is read to its end, so that the program does not see its visitor break off."""
    status, body, data = 0, bytearray(), b""
    while len(body) < limit:
        try:
            event = http.next_event()
        except h11.RemoteProtocolError:
            if status:
                break
            raise NotSpoken("HTTP", data) from None
        match event:
            case h11.NEED_DATA:
                if not (data := await connection.receive()):
                    break
                http.receive_data(data)
            case h11.Response():
                status = event.status_code
            case h11.Data():
                body += event.data
            case h11.EndOfMessage() | h11.ConnectionClosed():
                break
            case _:  # 1xx
                pass
    if not status:
        raise EOFError
    return Answer(status, bytes(body[:limit]))
