"""Who asks: the user whose socket a question comes from, as the kernel knows it (sock_diag(7))."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
from collections.abc import Callable
from enum import Enum
from typing import Final

from portico.ports import Clock

log = logging.getLogger(__name__)

STRANGER_FOR: Final = 1.0
"""Seconds until it is looked again whether nginx runs as a user."""
MOST_STRANGERS: Final = 1024
_BY_FAMILY: Final = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST: Final = 1  # NLM_F_REQUEST
_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_QUESTION: Final = struct.Struct("=BBBxI")  # struct inet_diag_req_v2, up to its id
_ENDS: Final = struct.Struct("!HH4s12x4s12x")  # struct inet_diag_sockid; ports and addresses
_NO_COOKIE: Final = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_STATES: Final = 0xFFFFFFFF
_UID_AT: Final = _HEADER.size + 4 + _ENDS.size + len(_NO_COOKIE) + 12
_PROTOCOLS: Final = {
    socket.SOCK_DGRAM: socket.IPPROTO_UDP,
    socket.SOCK_STREAM: socket.IPPROTO_TCP,
}
Address = tuple[str, int]


class Asker(Enum):
    NGINX = "nginx"
    UNKNOWN = "unknown"
    """Whether nginx runs as that user is being looked up."""
    STRANGER = "stranger"


class Owners:
    """Knows nginx by the user that it runs as, and root and this process's own user."""

    def __init__(
        self,
        here: Address,
        users: Callable[[], frozenset[int]],
        clock: Clock,
        known: frozenset[int] = frozenset(),
    ) -> None:
        """`users` says as whom nginx's workers run, and may block; `known` is what it said."""
        self._here, self._users, self._clock = here, users, clock
        self._known = {0, os.geteuid(), *known}
        self._strangers: dict[int, float] = {}
        """When it was seen last that nginx does not run as this user."""
        self._looking: asyncio.Future[frozenset[int]] | None = None
        self._kernel = _kernel()

    def asker(self, kind: socket.SocketKind, sender: Address) -> Asker:
        """Who has the socket that this came from."""
        if self._kernel is None:
            return Asker.NGINX
        uid = _owner(self._kernel, kind, sender, self._here)
        if uid in self._known:
            return Asker.NGINX
        if uid is None:
            return Asker.UNKNOWN  # it is closed already
        if self._clock.monotonic() - self._strangers.get(uid, float("-inf")) < STRANGER_FOR:
            return Asker.STRANGER
        self._look(uid)
        return Asker.UNKNOWN

    def close(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    def _look(self, uid: int) -> None:
        if self._looking is not None:
            return

        def learn(looked: asyncio.Future[frozenset[int]]) -> None:
            self._looking = None
            if looked.cancelled() or looked.exception() is not None:
                return
            self._known |= looked.result()
            if uid not in self._known:
                if len(self._strangers) >= MOST_STRANGERS:
                    self._strangers.clear()
                self._strangers[uid] = self._clock.monotonic()

        self._looking = asyncio.get_running_loop().run_in_executor(None, self._users)
        self._looking.add_done_callback(learn)


def _kernel() -> socket.socket | None:
    """A socket to ask it, where it can be asked."""
    try:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 4)
    except OSError as error:
        log.warning("cannot see who asks discovery, and believes everybody: %s", error)
        return None
    return made


def _owner(
    kernel: socket.socket, kind: socket.SocketKind, sender: Address, here: Address
) -> int | None:
    """The uid; None where nobody has such a socket any more."""
    # For UDP the kernel looks from the other end (udp_dump_one).
    local, remote = (here, sender) if kind is socket.SOCK_DGRAM else (sender, here)
    ends = _ENDS.pack(local[1], remote[1], socket.inet_aton(local[0]), socket.inet_aton(remote[0]))
    question = _QUESTION.pack(socket.AF_INET, _PROTOCOLS[kind], 0, _STATES) + ends + _NO_COOKIE
    header = _HEADER.pack(_HEADER.size + len(question), _BY_FAMILY, _REQUEST, 0, 0)
    try:
        kernel.send(header + question)
        answer = kernel.recv(4096)
    except OSError as error:
        if error.errno not in {errno.EAGAIN, errno.ENOBUFS}:
            raise
        return None
    if _HEADER.unpack_from(answer)[1] != _BY_FAMILY:
        return None
    uid, inode = struct.unpack_from("=II", answer, _UID_AT)
    return int(uid) if inode else None  # one that is closed has no inode, and is said to be root's
