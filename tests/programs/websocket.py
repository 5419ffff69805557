"""Echoes WebSocket messages on $PORT, each as JSON: pid, text. Other requests get 200.

At SIGTERM it closes what is open with 1001 (going away, RFC 6455 7.4.1), and ends.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from signal import SIG_BLOCK, SIGTERM, pthread_sigmask, sigwait

import frames
from echo import Request, start

GOING_AWAY = 1001


class Program:
    """With a thread for each connection."""

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._open: set[socket.socket] = set()

    def accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # it is closed
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                start(self._converse, connection)

    def close(self) -> None:
        """Have the clients leave, and wait until they have."""
        with self._state:
            for each in self._open:
                with suppress(OSError):
                    each.sendall(frames.frame(frames.CLOSE, GOING_AWAY.to_bytes(2, "big")))
            self._state.wait_for(lambda: not self._open)

    def _converse(self, connection: socket.socket) -> None:
        with suppress(OSError, EOFError), connection, connection.makefile("rb") as stream:
            request = Request(stream)
            if key := request.headers.get("sec-websocket-key"):
                self._echo(key, stream, connection)
                return
            body = b"pid %d\n" % os.getpid()
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(
                body
            )
            connection.sendall(head + body)

    def _echo(self, key: str, stream, connection: socket.socket) -> None:
        with self._state:
            self._open.add(connection)
        try:
            frames.echo(key, stream, connection)
        finally:
            with self._state:
                self._open.discard(connection)
                self._state.notify_all()


def main() -> None:
    pthread_sigmask(SIG_BLOCK, {SIGTERM})  # in all threads
    program = Program()
    listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=1024)
    start(program.accept, listener)
    sigwait({SIGTERM})
    listener.shutdown(socket.SHUT_RDWR)
    program.close()
    os._exit(0)


if __name__ == "__main__":
    main()
