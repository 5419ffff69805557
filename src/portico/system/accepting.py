"""Keeps the workers of an nginx from taking new connections; those that are open they serve on.

A program of its own, because it needs sockets at the numbers that they have in a worker: epoll(7)
knows what it watches by the open file and its number. Run as

    python -I -m portico.system.accepting stop PID STARTED
    python -I -m portico.system.accepting start

where PID and STARTED (proc_pid_stat(5)) are the master's. `stop` prints what `start` reads.

nginx has no signal for this. On SIGQUIT and SIGHUP a worker closes its idle connections at once,
and a request that a client sends on one in that moment is reset; before 1.27.4
(`keepalive_min_timeout`) no setting prevents it. pidfd_getfd(2) gives a copy of the epoll instance
of a worker, and a socket that is removed from the copy is removed for the worker. Linux 5.6.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import platform
import re
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from portico.system.inherit_sockets import copy_of
from portico.system.listening import listening_sockets
from portico.system.proc import pids, read, stat

_WORKER: Final = b"nginx: worker process"
_SHUTDOWN_TITLE: Final = b"is shutting down"
_WATCHED_ROW: Final = re.compile(
    r"^tfd:\s*(\d+) events:\s*([0-9a-f]+) data:\s*([0-9a-f]+) .*\bino:([0-9a-f]+)", re.MULTILINE
)
"""A line of fdinfo of an epoll instance (proc_pid_fdinfo(5))."""
_CHECK_TIME: Final = 0.5
"""Seconds in which no worker may watch one again: it is nginx's accept_mutex_delay."""
_CHECK_INTERVAL: Final = 0.02
_ADD: Final = 1
_REMOVE: Final = 2


@dataclass(frozen=True, slots=True)
class Watch:
    """A listening socket that a worker watches."""

    worker: int
    epoll: int
    """The number of its epoll instance in the worker, as that of `socket`."""
    socket: int
    events: int
    data: int
    inode: int


class _Event(ctypes.Structure):
    """struct epoll_event of epoll_ctl(2)."""

    _pack_ = 1 if platform.machine() == "x86_64" else 8
    _fields_ = (("events", ctypes.c_uint32), ("data", ctypes.c_uint64))


def stop(master: int) -> list[Watch]:
    """What was removed. Raises OSError where a worker watches it again, or where the workers watch
    different sockets: with `reuseport` each has a queue, with `accept_mutex` they take turns.
    """
    listening = {each.inode for each in listening_sockets()}
    workers = _workers(master)
    watched = [frozenset(each.inode for each in _watches(pid, listening)) for pid in workers]
    if len(set(watched)) != 1 or not watched[0]:
        raise OSError("its workers listen on different sockets (`reuseport`, `accept_mutex`)")
    removed: dict[Watch, None] = {}
    deadline = time.monotonic() + _CHECK_TIME
    while time.monotonic() < deadline:
        for each in [watch for pid in workers for watch in _watches(pid, listening)]:
            _change(each, _REMOVE)
            removed[each] = None
        time.sleep(_CHECK_INTERVAL)
    if any(_watches(pid, listening) for pid in workers):
        start(list(removed))
        raise OSError("its workers listen again each time")
    return list(removed)


def start(removed: Sequence[Watch]) -> None:
    """Raises OSError."""
    for each in removed:
        with suppress(FileExistsError):
            _change(each, _ADD)


def _workers(master: int) -> list[int]:
    found = [pid for pid in pids() if (seen := stat(pid)) and seen.parent == master]
    return [pid for pid in found if _is_worker(pid)]


def _is_worker(pid: int) -> bool:
    with suppress(OSError):
        title = read(f"/proc/{pid}/cmdline")
        return title.startswith(_WORKER) and _SHUTDOWN_TITLE not in title
    return False


def _watches(worker: int, inodes: Collection[int]) -> list[Watch]:
    return [
        each
        for epoll in _epolls(worker)
        for each in _watches_of(worker, epoll)
        if each.inode in inodes
    ]


def _epolls(worker: int) -> Iterator[int]:
    for entry in Path(f"/proc/{worker}/fd").iterdir():
        with suppress(FileNotFoundError):
            if os.readlink(entry) == "anon_inode:[eventpoll]":  # noqa: PTH115 - no path
                yield int(entry.name)


def _watches_of(worker: int, epoll: int) -> Iterator[Watch]:
    text = Path(f"/proc/{worker}/fdinfo/{epoll}").read_text()
    for found in _WATCHED_ROW.finditer(text):
        number, *others = found.groups()
        events, data, inode = (int(each, 16) for each in others)
        yield Watch(worker, epoll, int(number), events, data, inode)


def _change(watch: Watch, operation: int) -> None:
    """With all else at higher numbers than the socket has."""
    libc = ctypes.CDLL(None, use_errno=True)
    with ExitStack() as opened:

        def high(descriptor: int) -> int:
            moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, watch.socket + 1)
            os.close(descriptor)
            opened.callback(os.close, moved)
            return moved

        pidfd = high(os.pidfd_open(watch.worker))
        epoll = high(copy_of(pidfd, watch.epoll))
        socket = high(copy_of(pidfd, watch.socket))
        os.dup2(socket, watch.socket)
        opened.callback(os.close, watch.socket)
        event = _Event(watch.events, watch.data)
        if libc.epoll_ctl(epoll, operation, watch.socket, ctypes.byref(event)) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def main(words: Sequence[str]) -> None:
    if words[0] == "start":
        start([Watch(**each) for each in json.load(sys.stdin)])
        return
    seen = stat(int(words[1]))
    if seen is None or int(seen.started) != int(words[2]):
        raise ProcessLookupError(f"process {words[1]} has ended")
    json.dump([asdict(each) for each in stop(seen.pid)], sys.stdout)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.exit(error.strerror or str(error))
