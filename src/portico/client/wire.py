"""One HTTP request over the daemon's unix socket.

`http.client` would cost a third of the time that `portico status` may take. HTTP/1.0 is asked
for: its answers end with the connection and are never chunked, so that reading one is a loop.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from portico.errors import Unreachable

IDLE_INTERVAL: Final = 0.1  # seconds between two looks while a stream is silent
_HEAD_END = b"\r\n\r\n"
_OK = 200


class NoListener(Unreachable):
    """Nobody listens: nothing was asked, and it can be asked again."""


class ErrorAnswer(Exception):
    """A stream was asked for, and the answer is an error: its status and body."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


def is_reachable(path: Path) -> bool:
    """Whether somebody listens. Unreachable where that is another user's."""
    try:
        _connect(path, 1.0).close()
    except Unreachable as error:
        if isinstance(error.__cause__, PermissionError):
            raise
        return False
    return True


def ask(
    path: Path, method: str, target: str, body: bytes = b"", *, seconds: float
) -> tuple[int, bytes]:
    """The status and body of an answer; Unreachable when there is no whole one in time."""
    with _connect(path, seconds) as connection:
        try:
            connection.sendall(_request(method, target, body))
            status, length, body_start = _head(connection)
            data = body_start + b"".join(iter(lambda: connection.recv(65536), b""))
        except TimeoutError as error:
            raise Unreachable(f"the daemon on {path} did not answer in {seconds:g} s") from error
        except OSError as error:
            raise _connection_closed(path, error) from error
    if len(data) < length:
        raise _connection_closed(path)
    return status, data


def stream(
    path: Path, target: str, idle: Callable[[], None], *, seconds: float
) -> Iterator[bytes]:
    """Lines as they come; `idle` is called every TICK without one. Raises NotOk."""
    with _connect(path, seconds) as connection:
        try:
            connection.sendall(_request("GET", target, b""))
            status, _, pending = _head(connection)
            connection.settimeout(IDLE_INTERVAL)
            while True:
                *whole, pending = pending.split(b"\n")
                yield from whole
                if not (part := _receive(connection, idle)):
                    break
                pending += part
            if status != _OK:
                raise ErrorAnswer(status, pending)
        except OSError as error:
            raise _connection_closed(path, error) from error


def _connect(path: Path, seconds: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(seconds)
    try:
        connection.connect(str(path))
    except PermissionError as error:
        connection.close()
        raise Unreachable(
            f"cannot reach the daemon on {path}: it belongs to another user; use sudo, "
            "or a PORTICO_HOME of your own"
        ) from error
    except OSError as error:
        connection.close()
        raise NoListener(f"no daemon answers on {path} ({error.strerror})") from error
    return connection


def _request(method: str, target: str, body: bytes) -> bytes:
    head = f"{method} {target} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _head(connection: socket.socket) -> tuple[int, int, bytes]:
    """Status, length of the body as far as it is told, and what has come of it already."""
    data = b""
    while _HEAD_END not in data:
        part = connection.recv(65536)
        if not part:
            raise ConnectionResetError("connection closed before an answer")
        data += part
    head, _, body_start = data.partition(_HEAD_END)
    first, *fields = head.decode("latin-1").split("\r\n")
    lengths = (value for name, _, value in (f.partition(":") for f in fields) if _is_length(name))
    return int(first.split()[1]), int(next(lengths, "0")), body_start


def _is_length(name: str) -> bool:
    return name.lower() == "content-length"


def _receive(connection: socket.socket, idle: Callable[[], None]) -> bytes:
    while True:
        try:
            return connection.recv(65536)
        except TimeoutError:
            idle()


def _connection_closed(path: Path, error: OSError | None = None) -> Unreachable:
    why = f" ({error.strerror or error})" if error else ""
    return Unreachable(f"the daemon on {path} closed the connection before it answered{why}")
