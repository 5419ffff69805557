"""An HTTP/1.1 request to an instance, and what is wrong with the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import h11

from portico.adapters.probes.connection import AnswerTooLong, Exchange, WrongProtocol
from portico.core.model.check import Check

MAX_SEARCHED_SIZE: Final = 1 << 18
"""Bytes of a body that are searched."""
MAX_READ_SIZE: Final = 1 << 16
"""Bytes that are waited for of one that is not searched."""
GOOD_STATUSES: Final = range(200, 400)
SEARCH_TIMEOUT: Final = 0.1
"""Seconds for a regular expression, which nothing else could end; one that is usual takes 1 ms."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


async def ask_http(check: Check, port: int, connection: Exchange) -> str | None:
    http = h11.Connection(h11.CLIENT)
    try:
        request = h11.Request(
            method=check.method, target=check.path or "/", headers=_head(check, port)
        )
        sent = (http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b"")
    except h11.LocalProtocolError as error:  # in a file that an earlier Portico took
        return f"cannot be probed: {error}"
    await connection.send(sent)
    limit = MAX_READ_SIZE if check.body is None else MAX_SEARCHED_SIZE
    answer = await _answer(http, connection, limit)
    answered = f"{check.path or '/'} answered {answer.status}"
    if answer.status not in (check.status or GOOD_STATUSES):
        return answered
    if check.body is None:
        return None
    try:
        is_there = _holds(answer.body, check.body)
    except TimeoutError:
        return f"{answered}: {check.body!r} takes too long to search for"
    return None if is_there else f"{answered} without {check.body!r}"


def _head(check: Check, port: int) -> list[tuple[bytes, bytes]]:
    """Values as UTF-8, as curl and nginx send them; blanks around one are no part of it (RFC 9110
    5.5).
    """
    standard = {
        "Host": check.host or f"127.0.0.1:{port}",
        "User-Agent": "portico",
        "Accept": "*/*",
        "Connection": "close",
    }
    own = {name.lower() for name in check.headers}
    kept = {name: value for name, value in standard.items() if name.lower() not in own}
    sent = (*kept.items(), *check.headers.items())
    return [(name.encode(), value.strip(" ").encode()) for name, value in sent]


def _holds(body: bytes, wanted: str) -> bool:
    text = body.decode(errors="replace")
    if not wanted.startswith("~"):
        return wanted in text
    import regex  # noqa: PLC0415 - 2 MB, and rarely used

    return regex.search(wanted[1:].strip(), text, timeout=SEARCH_TIMEOUT) is not None


async def _answer(http: h11.Connection, connection: Exchange, limit: int) -> Answer:
    """The answer is read to its end, so that the program does not see its visitor break off."""
    status, body, data = 0, bytearray(), b""
    while len(body) < limit:
        try:
            event = http.next_event()
            if event is h11.NEED_DATA and (data := await connection.receive()):
                http.receive_data(data)
                continue
        except (h11.RemoteProtocolError, AnswerTooLong) as error:
            if status:
                break
            if isinstance(error, AnswerTooLong):
                raise
            raise WrongProtocol("HTTP", data) from None
        match event:
            case h11.Response():
                status = event.status_code
            case h11.Data():
                body += event.data
            case h11.InformationalResponse():
                pass
            case _:  # its end, or that of the connection
                break
    if not status:
        raise EOFError
    return Answer(status, bytes(body[:limit]))
