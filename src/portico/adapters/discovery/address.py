"""Where nginx asks: an address of loopback that no other user of the machine can take.

Linux lets several sockets have one port if all of them have SO_REUSEPORT and one user made them
(socket(7)), and lets nobody else have it meanwhile. So beside the two sockets that answer there
are two that only keep the port: a UDP socket connected to itself, to which the kernel delivers
nothing, and a TCP socket that does not listen. nginx inherits these. As long as a process of it
lives, which may ask, no other user can have the port, and the next daemon takes its place there.

None of them has SO_REUSEADDR, with which UDP sockets of any user could share the port.
"""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final

from portico.errors import Failed
from portico.system.waiting import wait_for

UNASSIGNED_PORTS: Final = range(288, 308)
"""No service has a port of these (IANA), so that we stand in nobody's way."""
RECEIVE_BUFFER: Final = 1 << 20  # a reload with 300 slots asks 300 addresses at once
BACKLOG: Final = 100
MAX_RANDOM_PORTS: Final = 16
EXIT_TIMEOUT: Final = 1.0
"""Seconds in which a daemon that has just ended has closed its sockets."""
_PORT_TAKEN: Final = frozenset({errno.EADDRINUSE, errno.EACCES})


@dataclass(frozen=True, slots=True)
class ReservedAddress:
    host: str
    port: int
    udp: socket.socket
    tcp: socket.socket
    """Listens."""
    keepers: tuple[socket.socket, socket.socket]
    """For nginx to inherit."""

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def connected_socket(self, asker: tuple[str, int]) -> socket.socket:
        """One more UDP socket, to which the kernel gives what this asker sends, and it alone:
        no others fill its buffer.
        """
        bound = _bind(socket.SOCK_DGRAM, self.host, self.port)
        bound.connect(asker)
        bound.setblocking(False)
        return bound

    def close(self) -> None:
        for each in (self.udp, self.tcp, *self.keepers):
            each.close()


def reserve(
    remembered: str, hosts: Sequence[str], *, below: int, fraction: float
) -> ReservedAddress:
    """The remembered address, where nginx asks; else a free one of these hosts.

    Ports below `below` are tried first: those are for root alone. `fraction`, in [0, 1), is
    where the search begins. Blocks for a moment. Raises Failed when no port is left.
    """
    if remembered:
        own, _, before = remembered.rpartition(":")
        if own in hosts and (address := _reserve_again(own, int(before))):
            return address
    for host, port in _candidates(hosts, below, fraction):
        if (free := _free_port(host, port)) and (address := _reserve(host, free)):
            return address
    raise Failed(
        f"cannot answer nginx: other programs hold every port of {', '.join(hosts)}; nginx keeps "
        "using the last known instances"
    )


def _reserve_again(host: str, port: int) -> ReservedAddress | None:
    """Beside what keeps the port for us, but never beside another daemon that answers there."""
    if wait_for(lambda: not _is_answered(host, port), EXIT_TIMEOUT):
        return _reserve(host, port)
    return None


def _candidates(hosts: Sequence[str], below: int, fraction: float) -> Iterator[tuple[str, int]]:
    """Ports that the system gives to outgoing connections come first: no server expects to find
    one of them free.
    """
    for port in _starting_at(
        range(UNASSIGNED_PORTS.start, min(UNASSIGNED_PORTS.stop, below)), fraction
    ):
        yield hosts[0], port
    yield from itertools.repeat((hosts[0], 0), MAX_RANDOM_PORTS)
    for host in hosts:
        for port in _starting_at(range(max(below, 1024), 1 << 16), fraction):
            yield host, port


def _starting_at(ports: range, fraction: float) -> Iterator[int]:
    begin = int(fraction * len(ports))
    return itertools.chain(ports[begin:], ports[:begin])


def _free_port(host: str, port: int) -> int:
    """The port, or for 0 any, if nobody at all has it for UDP or TCP; else 0."""
    with ExitStack() as stack:
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                attempt = stack.enter_context(socket.socket(socket.AF_INET, kind))
                attempt.bind((host, port))
                port = attempt.getsockname()[1]
        except OSError as error:
            _assert_taken(error, host, port)
            return 0
    return port


def _reserve(host: str, port: int) -> ReservedAddress | None:
    with ExitStack() as stack:
        try:
            kept_udp = stack.enter_context(_bind(socket.SOCK_DGRAM, host, port))
            kept_udp.connect((host, port))  # at once: to one that is not connected questions come
            kept_tcp = stack.enter_context(_bind(socket.SOCK_STREAM, host, port))
            udp = stack.enter_context(_bind(socket.SOCK_DGRAM, host, port))
            tcp = stack.enter_context(_bind(socket.SOCK_STREAM, host, port))
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            udp.setblocking(False)
            tcp.listen(BACKLOG)
        except OSError as error:
            _assert_taken(error, host, port)
            return None
        stack.pop_all()
    return ReservedAddress(host, port, udp, tcp, (kept_udp, kept_tcp))


def _bind(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, kind)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _is_answered(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=EXIT_TIMEOUT):
        return True
    return False


def _assert_taken(error: OSError, host: str, port: int) -> None:
    if error.errno not in _PORT_TAKEN:
        raise Failed(f"cannot answer nginx on {host}:{port}: {error}") from error
