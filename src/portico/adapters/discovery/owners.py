"""Who asks: the user whose socket a question comes from, as the kernel knows it (sock_diag(7))."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from enum import Enum
from typing import Final

from portico.ports.clock import Clock
from portico.system.socket_table import Address, Socket, find, open_table

log = logging.getLogger(__name__)

STRANGER_TIME: Final = 1.0
"""Seconds until it is looked again whether nginx runs as a user."""
MAX_STRANGERS: Final = 1024


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
        self._table = _table()

    def asker(self, kind: socket.SocketKind, sender: Address) -> Asker:
        """Who has the socket that this came from."""
        if self._table is None:
            return Asker.NGINX
        uid = _owner(self._table, kind, sender, self._here)
        if uid in self._known:
            return Asker.NGINX
        if uid is None:
            return Asker.UNKNOWN  # it is closed already
        if self._clock.monotonic() - self._strangers.get(uid, float("-inf")) < STRANGER_TIME:
            return Asker.STRANGER
        self._look(uid)
        return Asker.UNKNOWN

    def has_read(self, asker: Address) -> bool:
        """Whether nothing that was sent to this socket of nginx waits there; True if unknown."""
        if self._table is None:
            return True
        found = _find(self._table, socket.SOCK_DGRAM, asker, self._here)
        return found is None or found.unread == 0

    def close(self) -> None:
        if self._table is not None:
            self._table.close()
            self._table = None

    def _look(self, uid: int) -> None:
        if self._looking is not None:
            return

        def learn(looked: asyncio.Future[frozenset[int]]) -> None:
            self._looking = None
            if looked.cancelled() or looked.exception() is not None:
                return
            self._known |= looked.result()
            if uid not in self._known:
                if len(self._strangers) >= MAX_STRANGERS:
                    self._strangers.clear()
                self._strangers[uid] = self._clock.monotonic()

        self._looking = asyncio.get_running_loop().run_in_executor(None, self._users)
        self._looking.add_done_callback(learn)


def _table() -> socket.socket | None:
    """Where the kernel can be asked."""
    try:
        return open_table(0)
    except OSError as error:
        log.warning(
            "cannot identify the senders of discovery queries, so all are answered: %s", error
        )
        return None


def _owner(
    table: socket.socket, kind: socket.SocketKind, sender: Address, here: Address
) -> int | None:
    """The uid; None where nobody has such a socket any more."""
    found = _find(table, kind, sender, here)
    return found.uid if found and found.inode else None


def _find(
    table: socket.socket, kind: socket.SocketKind, sender: Address, here: Address
) -> Socket | None:
    try:
        return find(table, kind, sender, here)
    except OSError as error:
        if error.errno not in {errno.EAGAIN, errno.ENOBUFS}:
            raise
        return None
