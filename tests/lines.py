"""Clients of tests/programs/lines.py, a load of them, and a server like it in a thread."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from types import TracebackType
from typing import Self


class Lines:
    """A connection that was greeted."""

    def __init__(
        self, port: int, *, before: bytes = b"", tls: ssl.SSLContext | None = None, name: str = ""
    ) -> None:
        """`before` is sent first of all; over `tls` with that name."""
        plain = socket.create_connection(("127.0.0.1", port), 60)
        try:
            plain.sendall(before)
            self._socket = tls.wrap_socket(plain, server_hostname=name) if tls else plain
            self._file = self._socket.makefile("rb")
            self.greeting = self.read_line()
        except BaseException:
            plain.close()
            raise

    @property
    def pid(self) -> int:
        return int(self.greeting.split()[0])

    @property
    def ports(self) -> tuple[int, int]:
        """The client's own and that of the other end."""
        return self._socket.getsockname()[1], self._socket.getpeername()[1]

    @property
    def alpn(self) -> str | None:
        return (
            self._socket.selected_alpn_protocol()
            if isinstance(self._socket, ssl.SSLSocket)
            else None
        )

    def echo(self, text: str) -> str:
        self._socket.sendall(text.encode() + b"\n")
        return self.read_line()

    def read_line(self) -> str:
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise EOFError(f"the connection ended after {line!r}")
        return line.decode().rstrip()

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Datagrams:
    """A client of UDP, always from the same port."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(30)
        self._socket.connect(("127.0.0.1", port))

    def pid(self) -> int:
        """Of the instance that answers now."""
        self._socket.send(b"x")
        pid, text = self._socket.recv(100).split()
        assert text == b"x"
        return int(pid)

    def close(self) -> None:
        self._socket.close()


class LinesLoad:
    """Connections, or datagrams of new clients, one after another in several threads, each
    answered, until the end.
    """

    def __init__(self, port: int, clients: int = 4, *, udp: bool = False) -> None:
        self._port, self._end = port, threading.Event()
        self._ask = self._ask_by_datagram if udp else self._ask_by_connection
        self.pids: Counter[int] = Counter()
        self.lost: list[str] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self) -> None:
        while not self._end.wait(0.02):
            try:
                self.pids[self._ask()] += 1
            except (OSError, EOFError) as error:
                self.lost.append(repr(error))

    def _ask_by_connection(self) -> int:
        with Lines(self._port) as lines:
            assert lines.echo("x") == f"{lines.pid} x"
            return lines.pid

    def _ask_by_datagram(self) -> int:
        with closing(Datagrams(self._port)) as client:
            return client.pid()


@contextmanager
def server(name: str) -> Iterator[int]:
    """Greets each connection with a name and what it has read of it; returns its port."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(f"{name}\n".encode())
            while data := connection.recv(4096):
                connection.sendall(f"{name} ".encode() + data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(60)
