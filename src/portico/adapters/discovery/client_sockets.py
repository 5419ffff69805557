"""A socket of its own for each port that nginx asks from.

Everybody on the machine can send to a port of loopback, faster than anybody reads, and the kernel
drops what finds no room. A connected socket has a buffer that only its other end can fill.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

from portico.adapters.discovery.address import ReservedAddress

log = logging.getLogger(__name__)

MAX_SOCKETS: Final = 512
"""nginx asks from a port for each upstream. With more of them, the longest open one is closed."""
Address = tuple[str, int]


class ClientSockets:
    def __init__(self, address: ReservedAddress, receive: Callable[[socket.socket], None]) -> None:
        self._address, self._receive = address, receive
        self._open: dict[Address, socket.socket] = {}

    def open(self, asker: Address) -> None:
        """Let what it sends from now on come alone."""
        if asker in self._open:
            return
        if len(self._open) >= MAX_SOCKETS:
            self._end(next(iter(self._open)))
        try:
            sock = self._address.connected_socket(asker)
        except OSError as error:
            log.warning("cannot open the discovery socket for nginx: %s", error)
            return
        self._open[asker] = sock
        asyncio.get_running_loop().add_reader(sock, self._receive, sock)

    def record_failure(self, udp: socket.socket, error: OSError) -> None:
        """Reading failed: of a line, because its other end is closed."""
        asker = next((asker for asker, sock in self._open.items() if sock is udp), None)
        if asker is None:
            log.warning("cannot read a DNS query from nginx: %s", error)
        else:
            self._end(asker)

    def close(self) -> None:
        for asker in tuple(self._open):
            self._end(asker)

    def _end(self, asker: Address) -> None:
        sock = self._open.pop(asker)
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()
