"""The TCP ports of this machine: free ones, who holds one, and how many connections it has.

All of it is of this network namespace, whoever owns the sockets.
"""

from __future__ import annotations

import asyncio
import errno
import os
import pwd
import socket
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Final

from portico.adapters.processes.finding import is_marked
from portico.adapters.processes.listening import (
    Listener,
    connections,
    listeners,
    receivers,
    sessions,
)
from portico.adapters.processes.table import Table
from portico.adapters.processes.turns import one_at_a_time
from portico.core.model.instance import ListeningPort, Process
from portico.core.model.port_owner import Holder
from portico.errors import Failed
from portico.ports.clock import Clock
from portico.system.proc import pids, program_name, sockets, stat, user_of

FIRST_PORT, LAST_PORT = 20000, 29999
"""Below the ephemeral range of most systems, and below the node ports of Kubernetes."""
MAX_TRIED_PORTS: Final = 500
_ANY_ADDRESS: Final = frozenset({"*", "0.0.0.0", "[::]"})  # noqa: S104 - compared, not bound
_CUSTOMARY_PORTS: Final = frozenset(
    # minecraft, rabbitmq, cockroach, sentinel, mongodb, rethinkdb, fluentd, steam
    {24224, 25565, 25672, 26257, 26379, 27015, 27017, 27018, 27019, 28015, 28017, 29015, 29092}
)


class LinuxPorts:
    def __init__(self, clock: Clock) -> None:
        self._range, self._clock = _range(), clock
        self._recent: deque[int] = deque(maxlen=len(self._range) // 2)
        """A port is not given out again soon: somebody may still send requests to who had it."""

    async def free(self, avoid: frozenset[int]) -> int:
        """A free port, from a place that nobody can guess: whoever knew the next one could take
        it before the program that it is for listens.
        """
        begin = int(self._clock.jitter() * len(self._range))
        taken = {*avoid, *self._recent, *_CUSTOMARY_PORTS}
        here = (p for p in chain(self._range[begin:], self._range[:begin]) if p not in taken)
        for port in islice(here, MAX_TRIED_PORTS):
            if _is_free(port) and _is_free(port, socket.SOCK_DGRAM):
                self._recent.append(port)
                return port
        return _any_port(taken)  # somebody has taken them

    async def holder(self, port: int) -> str | None:
        if _is_free(port):
            return None
        return await asyncio.to_thread(_holder, port)

    async def holder_at(
        self, addresses: Sequence[str], port: int, *, udp: bool = False
    ) -> str | None:
        return await asyncio.to_thread(_holder, port, addresses, receivers if udp else listeners)

    async def connection_counts(self, ports: frozenset[int]) -> Mapping[int, int]:
        """Each connection once, at its serving end: at an address where the port is served."""
        return await asyncio.to_thread(_count_established, ports)

    async def listening_ports(self, process: Process) -> frozenset[ListeningPort]:
        return await asyncio.to_thread(_listening_ports, process)


def _range() -> range:
    """Where to look: never among the ports that the system gives to outgoing connections."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    if low > FIRST_PORT + 1000:
        return range(FIRST_PORT, min(LAST_PORT + 1, low))
    return range(10000, low) if low > 11000 else range(FIRST_PORT, LAST_PORT + 1)  # noqa: PLR2004 - ports


def _any_port(avoid: Collection[int]) -> int:
    """One of those that the system gives to outgoing connections. Raises Failed."""
    for _ in range(100):
        with suppress(OSError), socket.socket() as attempt:
            attempt.bind(("127.0.0.1", 0))
            port: int = attempt.getsockname()[1]
            if port not in avoid:
                return port
    raise Failed("no free port: all ports of this machine are in use")


def _is_free(port: int, protocol: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """Whether it can be bound on every address, and so on any single one."""
    for kind, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - bound, never listening
        try:
            with socket.socket(kind, protocol) as attempt:
                if kind is socket.AF_INET6:
                    attempt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                attempt.bind((address, port))
        except OSError as error:
            if error.errno not in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:  # no IPv6 here
                return False
    return True


@one_at_a_time
def _holder(
    port: int,
    addresses: Collection[str] = ("*",),
    sockets_at: Callable[[int], list[Listener]] = listeners,
) -> str | None:
    """Of an address alone, or of every one; who listens at all of them has each."""
    wanted = {"*" if each in _ANY_ADDRESS else each for each in addresses}
    found = {
        each.inode: each.uid
        for each in sockets_at(port)
        if "*" in wanted or each.at.address in {*wanted, "*"}
    }
    named = holders(found)
    return next((holder.text for holder in named.values()), None)


def holders(wanted: Mapping[int, int]) -> dict[int, Holder]:
    """Who holds each of these sockets open, by inode; their users are what is known where the
    processes of others cannot be looked into.
    """
    found = {inode: Holder(f"a process of user {_name(uid)}") for inode, uid in wanted.items()}
    if not wanted:
        return {}
    seen: set[int] = set()
    for pid in pids():
        for inode in wanted.keys() & set(sockets(pid)) - seen:
            seen.add(inode)
            found[inode] = Holder(_process_text(pid), left_behind=_is_left_behind(pid))
    return found


def _is_left_behind(pid: int) -> bool:
    """Whether an instance has started it: so it was told, or it came to us as an orphan."""
    seen = stat(pid)
    return is_marked(pid) or (seen is not None and seen.parent == os.getpid())


def _process_text(pid: int) -> str:
    """`pid 812 (node)`, and whose it is if not ours."""
    uid = user_of(pid)
    others = uid is not None and uid != os.geteuid()
    return f"pid {pid} ({program_name(pid)})" + (f" of user {_name(uid)}" if others else "")


def _name(uid: int | None) -> str:
    try:
        return pwd.getpwuid(uid or 0).pw_name
    except KeyError:
        return str(uid)


@one_at_a_time
def _count_established(ports: frozenset[int]) -> Counter[int]:
    count = Counter(each.at for each in connections(ports))
    # At another address of this machine the same port may belong to anybody.
    served = {each.at for each in listeners()}
    closed = ports - {at.port for at in served}  # its connections go on until they end
    found: Counter[int] = Counter()
    for at, number in count.items():
        if at.port in closed or served & {at, ListeningPort(at.port, "*")}:
            found[at.port] += number
    return found + sessions(ports)


@one_at_a_time
def _listening_ports(process: Process) -> frozenset[ListeningPort]:
    own = {inode for each in Table().family(process) for inode in sockets(each.pid)}
    return frozenset(each.at for each in listeners() if each.inode in own)
