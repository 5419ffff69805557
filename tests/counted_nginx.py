"""How many instructions one worker of nginx executes for a request, counted by valgrind.

The count is the same on a busy machine and a quiet one, which no time is. It knows nothing of the
kernel's part.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.rendered import HOME, rendered
from tests.waiting import eventually, is_listening

NAME: Final = "app.example"
"""Whom the client asks for."""
REQUEST: Final = (
    "GET /items?page=2 HTTP/1.1\r\nHost: app.example\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef\r\n\r\n"
)
WARM, COUNTED = 40, 100
"""Requests: the first ones open connections to the instances and fill caches."""
START_TIMEOUT: Final = 120.0
ALONE: Final = "daemon off; master_process off;"


def missing_programs() -> list[str]:
    return [name for name in ("valgrind", "callgrind_control") if shutil.which(name) is None]


@dataclass(frozen=True, slots=True)
class Answering:
    """A program that answers every request with the same octets and keeps connections open."""

    answer: bytes
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def serve(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            unread = b""
            while received := connection.recv(65536):
                unread += received
                while (end := unread.find(b"\r\n\r\n")) >= 0:
                    unread = unread[end + 4 :]
                    connection.sendall(self.answer)


@contextmanager
def answering(answer: bytes, count: int = 4) -> Iterator[list[int]]:
    """Their ports."""
    programs = [Answering(answer) for _ in range(count)]
    for program in programs:
        threading.Thread(target=program.serve, daemon=True).start()
    try:
        yield [program.port for program in programs]
    finally:
        for program in programs:
            program.listener.shutdown(socket.SHUT_RDWR)
            program.listener.close()


def instructions_a_request(nginx: Path, folder: Path, name: str, port: int) -> float:
    """Of `folder`/nginx.conf, over HTTPS on one connection; `name` is that of a new folder."""
    with ExitStack() as stack:
        kept: list[ssl.SSLSocket] = []

        def work(port: int, count: int) -> None:
            if not kept:
                kept.append(stack.enter_context(connected(port)))
            ask(kept[0], count)

        return instructions(nginx, folder, name, port, work, COUNTED)


def instructions(
    nginx: Path, folder: Path, name: str, port: int, work: Callable[[int, int], None], count: int
) -> float:
    """The same for any work, done `count` times at a port."""
    out = folder / name
    out.mkdir()
    command = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={out}/out", str(nginx))
    with (
        (folder / "valgrind.log").open("wb") as log,
        subprocess.Popen(
            [*command, "-p", str(folder), "-c", "nginx.conf", "-g", ALONE], stdout=log, stderr=log
        ) as process,
    ):
        try:
            eventually(lambda: is_listening(port) or process.poll() is not None, START_TIMEOUT)
            work(port, WARM)
            _dump(process.pid)
            work(port, count)
            _dump(process.pid)
        finally:
            process.terminate()
    return _total(out / "out.2") / count


@contextmanager
def connected(
    port: int, session: ssl.SSLSession | None = None, context: ssl.SSLContext | None = None
) -> Iterator[ssl.SSLSocket]:
    """A session is resumed in the context that it is of."""
    if context is None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=START_TIMEOUT) as plain,
        context.wrap_socket(plain, server_hostname=NAME, session=session) as connection,
    ):
        yield connection


def ask(connection: ssl.SSLSocket, count: int) -> None:
    """One request after another, each answered with 200."""
    for _ in range(count):
        connection.sendall(REQUEST.encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        (length,) = [
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ]
        while len(body) < length:
            body += connection.recv(65536)


def _dump(pid: int) -> None:
    """Write what was counted since the last dump, and count from zero."""
    ran = subprocess.run(
        ["callgrind_control", "--dump", str(pid)], capture_output=True, text=True, check=True
    )
    assert "OK." in ran.stdout, ran.stdout + ran.stderr


def _total(dump: Path) -> int:
    (total,) = [
        int(line.split()[1])
        for line in dump.read_text().splitlines()
        if line.startswith("totals:")
    ]
    return total


def rendered_here(text: str, folder: Path, ports: Sequence[int], key: str = "ec") -> str:
    """What Portico renders for a file, with all paths in a folder that can serve it at once, and
    the instances by address: who answers discovery is no part of a request.
    """
    for name in ("logs/nginx", "logs/sites", "nginx/temp", "certificates"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _sign(folder / "certificates", key)
    conf = rendered(text)["nginx.conf"].replace(HOME, str(folder))
    lines: list[str] = []
    for line in conf.splitlines():
        head, resolves, parameters = line.partition("web.portico.internal service=http resolve")
        if resolves:
            lines += [f"{head}127.0.0.1:{port}{parameters}" for port in ports]
        elif not line.strip().startswith(("resolver ", "resolver_timeout ", "include ")):
            lines.append(line)
    return "\n".join(lines) + "\n"


def _sign(folder: Path, key: str) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", key),
            *(("-pkeyopt", "ec_paramgen_curve:P-256") if key == "ec" else ()),
            *("-nodes", "-days", "2", "-subj", f"/CN={NAME}"),
            *("-keyout", str(folder / f"{NAME}.key"), "-out", str(folder / f"{NAME}.pem")),
        ],
        check=True,
        capture_output=True,
    )
