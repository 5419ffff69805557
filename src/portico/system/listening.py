"""Which processes take TCP connections, and where."""

from __future__ import annotations

from collections.abc import Collection
from socket import AF_INET, AF_INET6
from typing import Final

from portico.system.proc import pids as all_pids
from portico.system.proc import sockets
from portico.system.socket_table import ESTABLISHED, LISTEN, Socket, in_state, open_table

_TIMEOUT: Final = 5.0
"""Seconds."""


def listening_ports(pids: Collection[int]) -> frozenset[int]:
    """Where these processes listen. Blocks; raises OSError where the kernel does not tell."""
    theirs = {inode for pid in pids for inode in sockets(pid)}
    return frozenset(each.port for each in listening_sockets() if each.inode in theirs)


def socket_owners() -> dict[int, int]:
    """Of each socket's inode the first process that has it open, as far as this user may see."""
    found: dict[int, int] = {}
    for pid in all_pids():
        for inode in sockets(pid):
            found.setdefault(inode, pid)
    return found


def listening_sockets() -> list[Socket]:
    """All of this network namespace. Blocks; raises OSError where the kernel does not tell."""
    return _sockets(LISTEN)


def established_sockets(port: int) -> list[Socket]:
    """Connections whose end here has that port. Blocks; raises OSError likewise."""
    return _sockets(ESTABLISHED, port)


def _sockets(state: int, port: int = 0) -> list[Socket]:
    with open_table(_TIMEOUT) as table:
        families = (AF_INET, AF_INET6)
        return [each for family in families for each in in_state(table, state, family, port=port)]
