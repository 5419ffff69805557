"""Starts nginx with the listening sockets that another nginx has: a program of its own, run as
`python -I -S inherit_sockets.py PID STARTED PROGRAM ARGUMENT…`, where STARTED is the clock
tick in which the other one was started (proc_pid_stat(5)): a number alone may be another's by now.

Both accept connections from the same queue then, so the other one can leave without refusing
one. nginx takes sockets over that the environment variable NGINX lists, as when its program is
replaced on the fly, and keeps those that its files listen on. It does not go into the background
by itself then; this does.

pidfd_getfd(2) gives them, to root and to the owner of both. Linux 5.6.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PIDFD_GETFD = 438
"""The number of the system call: the same on every machine but Alpha."""
START_TIMEOUT = 20.0
"""Seconds."""
POLL_INTERVAL = 0.01


def listening_sockets(pid: int, started: int) -> list[int]:
    """Copies of all sockets on which a process takes TCP connections. Raises OSError."""
    pidfd = os.pidfd_open(pid)
    if int(_fields(pid)[19]) != started:
        raise ProcessLookupError(f"process {pid} has ended")
    return [each for each in _sockets(pid, pidfd) if _listens(each)]


def copy_of(pidfd: int, descriptor: int) -> int:
    """A copy of what another process has open by that number. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    copy = int(libc.syscall(PIDFD_GETFD, pidfd, descriptor, 0))
    if copy < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return copy


def _sockets(pid: int, pidfd: int) -> Iterator[int]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            is_socket = os.readlink(entry).startswith("socket:")  # noqa: PTH115 - no path
        except FileNotFoundError:
            continue
        if is_socket:
            yield copy_of(pidfd, int(entry.name))


def _listens(descriptor: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as seen:
        is_tcp = seen.family in {socket.AF_INET, socket.AF_INET6}
        if is_tcp and seen.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return True
    os.close(descriptor)
    return False


def start(sockets: list[int], words: list[str]) -> int:
    """Its exit code; 0 as soon as it has workers."""
    child = os.fork()
    if not child:
        os.setsid()
        for stream in (0, 1):  # nginx does that with the third alone, once it has begun
            os.dup2(os.open(os.devnull, os.O_RDWR), stream)
        for each in sockets:
            os.set_inheritable(each, True)
        named = "".join(f"{each};" for each in sockets)
        os.execve(words[0], words, {**os.environ, "NGINX": named})  # noqa: S606 - no shell
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if child in _parents():
            return 0
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) or 1
        time.sleep(POLL_INTERVAL)
    os.kill(child, 9)
    return 1


def _parents() -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                found.add(int(_fields(int(entry.name))[1]))
    return found


def _fields(pid: int) -> list[str]:
    """Of proc_pid_stat(5), from the state on: before it is `comm`, which may hold anything.

    `proc.stat` reads the same, but with `-I -S` nothing of Portico can be imported.
    """
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


if __name__ == "__main__":
    sys.exit(start(listening_sockets(int(sys.argv[1]), int(sys.argv[2])), sys.argv[3:]))
