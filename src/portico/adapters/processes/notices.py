"""Hears what programs say of themselves: sd_notify(3), and process.send of Node programs.

Both come by a socket of a fixed name, so that the next daemon hears what is said to it. Nobody is
believed who does not descend from an instance: the kernel says who the sender is (SCM_CREDENTIALS
and SO_PEERCRED of unix(7)). What sd_notify sends while no daemon runs is lost, as with systemd;
Node programs say it again until it was heard.
"""

from __future__ import annotations

import array
import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from portico.core.model.launch import Notice
from portico.core.planning.environment import NoticePaths
from portico.errors import Failed
from portico.system import files
from portico.system.proc import stat

log = logging.getLogger(__name__)

MAX_MESSAGE_SIZE: Final = 4096
"""Bytes of a message that are read."""
MAX_STATUS_LENGTH: Final = 200
MAX_KEPT_NOTICES: Final = 1000
"""Senders that wait to be asked for: anybody on the machine may send, and go on sending."""
MAX_OPEN_CONNECTIONS: Final = 256
"""Connections of Node programs; more are closed at once, and their programs come again."""
MESSAGES_AT_ONCE: Final = 64
"""Messages that are read before others of the event loop have their turn."""
MESSAGE_TIMEOUT: Final = 5.0
MAX_ANCESTORS: Final = 64  # generations from a sender up
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid
_MAX_FILES: Final = 253  # SCM_MAX_FD
_PRELOAD: Final = Path(__file__).with_name("node_preload.cjs")


class UnixNotices:
    def __init__(self) -> None:
        self._on_ready: Callable[[Notice], None] = lambda _: None
        self._notices: dict[frozenset[int], Notice] = {}
        """The sum of what each has said since it was last asked for."""
        self._waiting: list[asyncio.Event] = []
        """Of Node programs whose notice waits, and of those whose notice was handed out."""
        self._handed_out: list[asyncio.Event] = []
        self._datagrams: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def open(self, paths: NoticePaths, on_ready: Callable[[Notice], None]) -> None:
        """`on_ready` is called when one has said that it is ready, whoever that is. Raises Failed
        where nobody will be heard.
        """
        self._on_ready = on_ready
        try:
            _write_if_changed(Path(paths.preload), _PRELOAD.read_bytes())
            self._datagrams = _open_socket(paths.notify, socket.SOCK_DGRAM)
            listener = _open_socket(paths.send, socket.SOCK_STREAM)
            self._server = await asyncio.start_unix_server(self._listen, sock=listener)
        except OSError as error:
            self.close()
            raise Failed(
                f"cannot open the readiness socket: {error}; apps with wait_ready will not become "
                "ready"
            ) from error
        asyncio.get_running_loop().add_reader(self._datagrams, self._read, self._datagrams)

    def take_notices(self) -> Sequence[Notice]:
        for event in self._handed_out:
            event.set()
        self._handed_out, self._waiting = self._waiting, []
        notices, self._notices = self._notices, {}
        return list(notices.values())

    def close(self) -> None:
        if self._datagrams is not None:
            asyncio.get_running_loop().remove_reader(self._datagrams)
            self._datagrams.close()
            self._datagrams = None
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()

    def _read(self, datagrams: socket.socket) -> None:
        for _ in range(MESSAGES_AT_ONCE):
            try:
                message, pid = _receive(datagrams)
            except OSError:  # nothing is left
                return
            self._record(message, pid)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One word, answered when it is on record: until then its sender would say it again."""
        if len(self._open) >= MAX_OPEN_CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            async with asyncio.timeout(MESSAGE_TIMEOUT):
                message = await reader.readline()
            peer = writer.get_extra_info("socket")
            raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            done = asyncio.Event()
            if self._record(message, _CREDENTIALS.unpack(raw)[0]):
                self._waiting.append(done)
                await done.wait()
            writer.write(b"heard\n")
            await writer.drain()
        except (OSError, TimeoutError, ValueError) as error:
            log.info("a program disconnected while it reported its status: %s", error)
        finally:
            self._open.discard(writer)
            writer.close()

    def _record(self, message: bytes, pid: int) -> bool:
        """Keep what is of use in it; whether there was something."""
        ready, status = parse(message)
        if not ready and status is None:
            return False
        sessions = _sessions(pid)
        if not sessions:
            log.info("pid %d reported its status, but exited before it could be identified", pid)
            return False
        before = self._notices.get(sessions, Notice(sessions))
        if sessions not in self._notices and len(self._notices) >= MAX_KEPT_NOTICES:
            return False
        last_status = before.status if status is None else status
        self._notices[sessions] = Notice(sessions, ready or before.ready, last_status)
        if ready:
            self._on_ready(self._notices[sessions])
        return True


def parse(message: bytes) -> tuple[bool, str | None]:
    """`READY=1` and `STATUS=...` of a message of sd_notify; the rest means nothing here."""
    ready, status = False, None
    for line in message.decode(errors="replace").splitlines():
        name, _, value = line.partition("=")
        if name == "READY":
            ready = ready or value.strip() == "1"
        elif name == "STATUS":
            status = "".join(c for c in value if c.isprintable())[:MAX_STATUS_LENGTH].strip()
    return ready, status


def _receive(datagrams: socket.socket) -> tuple[bytes, int]:
    """A message and the pid of its sender. Files that come with it (FDSTORE, BARRIER) are closed:
    that is also what systemd-notify waits for before it ends.
    """
    space = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(_MAX_FILES * 4)
    message, extras, *_ = datagrams.recvmsg(MAX_MESSAGE_SIZE, space, socket.MSG_CMSG_CLOEXEC)
    pid = 0
    for level, kind, data in extras:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]
        elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            files = array.array("i", data[: len(data) - len(data) % 4])
            for file in files:
                os.close(file)
    return message, pid


def _sessions(pid: int) -> frozenset[int]:
    """Its session and those above it; none if it has ended."""
    found: set[int] = set()
    for _ in range(MAX_ANCESTORS):
        seen = stat(pid) if pid > 1 else None
        if seen is None:
            break
        found.add(seen.session)
        pid = seen.parent
    return frozenset(found)


def _open_socket(path: str, kind: socket.SocketKind) -> socket.socket:
    """A socket that programs of every user may write to: who they are is looked at."""
    with suppress(FileNotFoundError):
        Path(path).unlink()
    opened = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    if kind is socket.SOCK_DGRAM:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    opened.bind(path)
    Path(path).chmod(0o666)
    return opened


def _write_if_changed(path: Path, content: bytes) -> None:
    """Written only where it is not there yet: a full disk need not be written to."""
    with suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return
    files.write(path, content, 0o644)
