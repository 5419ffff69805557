"""The launcher: starts programs for a daemon whose own rights are cut, and for nobody else.

It listens on a unix socket that only its own user may use, and asks the kernel who is there. A
connection is one program: the request is its length (4 octets), JSON and, as SCM_RIGHTS, the three
standard streams, its folder where that is held open, and what else it keeps; the answer is a line
of JSON with the pid, and a pidfd. Then each `?` is answered with a line that has the exit code, or
null. The program goes on when the connection ends, and so when the daemon does; once it has ended,
its number is given back. What programs leave behind becomes the launcher's, which waits for it.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NoReturn

from portico.system.home import Home
from portico.system.notify import Notify
from portico.system.orphans import REAP_INTERVAL, Orphans, inherit_orphans
from portico.system.programs import (
    STDOUT,
    Child,
    Program,
    StartProgram,
    handle_ignored_signals,
    start_here,
)
from portico.system.spawning import start_beside
from portico.system.waiting import wait_for

ADDRESS: Final = "PORTICO_LAUNCHER"
"""Environment variable of a daemon whose rights are cut: the path of the launcher's socket."""
ANSWER_TIMEOUT: Final = 30.0
"""Seconds for one answer: after a crash systemd starts the launcher again meanwhile."""
RETRY_INTERVAL: Final = 0.1
MAX_REQUEST_SIZE: Final = 8 << 20
"""Octets. The kernel takes no more than 6 MiB of words and environment (execve(2))."""
MAX_FILES: Final = 64
BACKLOG: Final = 1024
_LENGTH: Final = struct.Struct("!I")
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid


class LaunchedProgram:
    """A program that the launcher has started. Implements `programs.Child`."""

    def __init__(self, connection: socket.socket, pid: int, pidfd: int) -> None:
        self._connection, self.pid, self.pidfd = connection, pid, pidfd

    def exit_code(self) -> int | None:
        try:
            self._connection.sendall(b"?")
            answer = json.loads(_line(self._connection))
        except (OSError, ValueError):
            return None  # the launcher has been started anew
        return answer if isinstance(answer, int) else None

    def release(self) -> None:
        self._connection.close()


class StartOutside:
    """Has the launcher start programs. Implements `programs.StartProgram`."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __call__(self, program: Program, stdin: int, stdout: int, stderr: int) -> LaunchedProgram:
        connection = _connect(self._address)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            out = null if stdout < 0 else stdout
            err = out if stderr == STDOUT else null if stderr < 0 else stderr
            streams = (null if stdin < 0 else stdin, out, err)
            environment = dict(os.environ if program.environment is None else program.environment)
            request = json.dumps(asdict(program) | {"environment": environment}).encode()
            sent = _LENGTH.pack(len(request)) + request
            folder = [program.cwd] if isinstance(program.cwd, int) else []
            first = socket.send_fds(connection, [sent], [*streams, *folder, *program.keep])
            if rest := sent[first:]:  # to send nothing fails where the answer has come already
                connection.sendall(rest)
            return _read_answer(connection)
        except BaseException:
            connection.close()
            raise
        finally:
            os.close(null)


def start_program_of(environ: Mapping[str, str]) -> StartProgram:
    """How this process starts programs."""
    address = environ.get(ADDRESS)
    return StartOutside(address) if address else start_beside


def _connect(address: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(ANSWER_TIMEOUT)

    def connect() -> bool:
        with suppress(FileNotFoundError, ConnectionRefusedError, BlockingIOError):
            connection.connect(address)
            return True
        return False

    if not wait_for(connect, ANSWER_TIMEOUT, RETRY_INTERVAL):
        connection.close()
        raise OSError(errno.ECONNREFUSED, "the launcher does not answer", address)
    return connection


def _read_answer(connection: socket.socket) -> LaunchedProgram:
    text, files, _, _ = socket.recv_fds(connection, 1 << 16, 1)
    if not text:
        raise OSError(errno.ECONNRESET, "the launcher ended before it had started the program")
    answer = json.loads(text if text.endswith(b"\n") else text + _line(connection))
    if "error" in answer:
        raise OSError(answer["error"], os.strerror(answer["error"]), answer["file"])
    return LaunchedProgram(connection, answer["pid"], files[0])


def _line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        data = connection.recv(1 << 16)
        if not data:
            raise ConnectionResetError
        line += data
    return line


# The launcher's own side: SIGTERM just ends it, and what it has started goes on.


def main() -> None:
    home = Home.find(os.environ, root=os.geteuid() == 0)
    home.make()
    handle_ignored_signals()
    inherit_orphans()
    listener = _listener(home.launch)
    Notify(os.environ).ready()
    asyncio.run(serve(listener))


def _listener(path: Path) -> socket.socket:
    with suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    listener.bind(str(path))
    os.umask(before)
    listener.listen(BACKLOG)
    return listener


async def serve(listener: socket.socket) -> NoReturn:
    """Start programs for processes of this user."""
    started = set[int]()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_reap_orphans(started))
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            tasks.create_task(_serve(connection, started))


async def _reap_orphans(started: set[int]) -> NoReturn:
    """All but programs that somebody may still ask for."""
    orphans = Orphans()
    while True:
        await asyncio.sleep(REAP_INTERVAL)
        await asyncio.to_thread(orphans.reap, frozenset(started))


async def _serve(connection: socket.socket, started: set[int]) -> None:
    """One connection, whatever it sends."""
    with connection:
        try:
            if _uid_of(connection) == os.geteuid() and (child := await _start(connection)):
                started.add(child.pid)
                await _look_after(child, connection)
                started.discard(child.pid)
        except (OSError, ValueError, TypeError, struct.error) as error:
            print(f"cannot handle a request: {error}", file=sys.stderr)  # noqa: T201


def _uid_of(connection: socket.socket) -> int:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


async def _start(connection: socket.socket) -> Child | None:
    """Start the program that is asked for, and answer."""
    await _readable(connection)
    data, files, _, _ = socket.recv_fds(connection, 1 << 16, MAX_FILES)
    try:
        request = await _request(connection, data)
        stdin, stdout, stderr, *more = files
        if isinstance(request["cwd"], int):
            request["cwd"] = more.pop(0)
        program = Program(**{**request, "keep": tuple(more)})
        child = start_here(program, stdin, stdout, stderr)
    except OSError as error:
        await _answer(connection, {"error": error.errno, "file": error.filename})
        return None
    finally:
        for file in files:
            os.close(file)
    line = json.dumps({"pid": child.pid}).encode() + b"\n"
    socket.send_fds(connection, [line], [child.pidfd])
    return child


async def _request(connection: socket.socket, data: bytes) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    (length,) = _LENGTH.unpack_from(data)
    if length > MAX_REQUEST_SIZE:
        raise ValueError(f"a request of {length} octets is too long")
    while len(data) < _LENGTH.size + length:
        more = await loop.sock_recv(connection, 1 << 16)
        if not more:
            raise ConnectionResetError("a request was truncated")
        data += more
    request: dict[str, Any] = json.loads(data[_LENGTH.size :])
    return request


async def _look_after(child: Child, connection: socket.socket) -> None:
    """Say how it ended, as often as it is asked; then let the system forget it."""
    loop = asyncio.get_running_loop()
    try:
        while await loop.sock_recv(connection, 1):
            await _answer(connection, child.exit_code())
    finally:
        await _readable(child.pidfd)
        child.release()
        os.close(child.pidfd)


async def _answer(connection: socket.socket, answer: object) -> None:
    line = json.dumps(answer).encode() + b"\n"
    await asyncio.get_running_loop().sock_sendall(connection, line)


async def _readable(file: socket.socket | int) -> None:
    loop, seen = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(file, seen.set)
    try:
        await seen.wait()
    finally:
        loop.remove_reader(file)


if __name__ == "__main__":
    main()
