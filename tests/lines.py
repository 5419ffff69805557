"""A client of tests/programs/lines.py, and a load of such clients."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import Counter
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


class LinesLoad:
    """Connections one after another in several threads, each greeted and echoed, until the end."""

    def __init__(self, port: int, clients: int = 4) -> None:
        self._port, self._end = port, threading.Event()
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
        while not self._end.wait(0.005):
            try:
                with Lines(self._port) as lines:
                    assert lines.echo("x") == f"{lines.pid} x"
                    self.pids[lines.pid] += 1
            except (OSError, EOFError) as error:
                self.lost.append(repr(error))
