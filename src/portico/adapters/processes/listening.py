"""The TCP sockets of this machine that listen, its connections, and its sessions of UDP.

The kernel is asked for sockets of one state alone (sock_diag(7)), which takes it a few
microseconds each, however many there are of others. Where it cannot be asked so, they are read
from /proc/net, which tells of all.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Final

from portico.core.model.instance import ListeningPort
from portico.system.socket_table import ESTABLISHED, LISTEN, Socket, in_state, open_table

_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_UDP_TABLES: Final = ("/proc/net/udp", "/proc/net/udp6")
_ROW: Final = (
    rb"^ *\d+: (?P<address>[0-9A-F]+):(?P<port>[0-9A-F]{4}) (?P<other>[0-9A-F]+:[0-9A-F]{4}) "
    rb"(?P<state>%s) \S+ \S+ \S+ +(?P<uid>\d+) +\d+ (?P<inode>\d+)"
)
"""A row of proc_pid_net(5), for a pattern of its state (include/net/tcp_states.h)."""
_ANY_ROW: Final = re.compile(_ROW % b"[0-9A-F]{2}", re.MULTILINE)
_CONNECTION_ROW: Final = re.compile(_ROW % (b"%02X" % ESTABLISHED), re.MULTILINE)
_LISTEN: Final = b"%02X" % LISTEN
_LOOPBACK: Final = socket.inet_aton("127.0.0.1")
"""Where nginx finds instances."""
_READ_LOOPBACK: Final = b"%08X:%%04X" % socket.htonl(0x7F000001)
"""The same with a port, as the tables have it."""
_CHUNK: Final = 1 << 16

_UNSUPPORTED_ERRORS: Final = {errno.ENOENT, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EPERM}
ANSWER_TIMEOUT: Final = 2.0


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that listens."""

    at: ListeningPort
    uid: int
    """Of the process that made it."""
    inode: int


@dataclass(frozen=True, slots=True)
class Connection:
    """One end of a connection: two where both ends are of this machine."""

    at: ListeningPort
    """Where the end is."""
    other: object
    """The other end; equal for the same one only."""


def listeners(port: int = 0) -> list[Listener]:
    """All of them, or those of a port."""
    found = _sockets_in_state(LISTEN, port)
    if found is None:
        return [each for each in _read_listeners() if port in {0, each.at.port}]
    return [Listener(_place(each), each.uid, each.inode) for each in found]


def connections(ports: frozenset[int]) -> set[Connection]:
    """Those with an end at one of these ports. What is told in pieces may tell one twice when
    others come and go meanwhile: so a set.
    """
    found = _sockets_in_state(ESTABLISHED)
    if found is None:
        return {each for each in _read_connections() if each.at.port in ports}
    return {Connection(_place(each), each.other) for each in found if each.port in ports}


def receivers(port: int) -> list[Listener]:
    """The sockets of UDP at a port, which take what anybody sends."""
    found = (row for path in _UDP_TABLES for row in _rows(path, _ANY_ROW))
    every = (Listener(_read_place(row), int(row["uid"]), int(row["inode"])) for row in found)
    return [each for each in every if each.at.port == port]


def sessions(ports: frozenset[int]) -> Counter[int]:
    """How many sockets of UDP send to one of these ports of loopback, and take from it, alone."""
    found = _sockets_in_state(ESTABLISHED, kind=socket.SOCK_DGRAM, families=(socket.AF_INET,))
    if found is not None:
        others = Counter(each.other for each in found)
        return Counter({port: n for port in ports if (n := others[_LOOPBACK, port])})
    read = Counter(row["other"] for row in _rows(_UDP_TABLES[0], _CONNECTION_ROW))
    return Counter({port: n for port in ports if (n := read[_READ_LOOPBACK % port])})


def _sockets_in_state(
    state: int,
    port: int = 0,
    kind: socket.SocketKind = socket.SOCK_STREAM,
    families: Sequence[socket.AddressFamily] = (socket.AF_INET, socket.AF_INET6),
) -> list[Socket] | None:
    """None where the kernel cannot be asked."""
    try:
        with open_table(ANSWER_TIMEOUT) as table:
            return [
                each for family in families for each in in_state(table, state, family, kind, port)
            ]
    except OSError as error:
        if error.errno not in _UNSUPPORTED_ERRORS:
            raise
    return None


def _place(found: Socket) -> ListeningPort:
    return ListeningPort(found.port, _address(found.address))


def _read_listeners() -> Iterator[Listener]:
    """Those that listen come first, so that reading ends where connections begin."""
    for path in _TABLES:
        for row in takewhile(lambda row: row["state"] == _LISTEN, _rows(path, _ANY_ROW)):
            yield Listener(_read_place(row), int(row["uid"]), int(row["inode"]))


def _read_connections() -> Iterator[Connection]:
    for path in _TABLES:
        for row in _rows(path, _CONNECTION_ROW):
            yield Connection(_read_place(row), row["other"])


def _rows(path: str, pattern: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
    """Read in pieces, so that nobody waits for the GIL."""
    with suppress(FileNotFoundError), Path(path).open("rb", buffering=0) as file:
        rest = b""
        while chunk := file.read(_CHUNK):
            complete, newline, rest = (rest + chunk).rpartition(b"\n")
            yield from pattern.finditer(complete + newline)


def _read_place(row: re.Match[bytes]) -> ListeningPort:
    """`0100007F` is 127.0.0.1: words of 32 bits, each in the machine's own byte order."""
    raw = bytes.fromhex(row["address"].decode())
    words = (raw[at : at + 4] for at in range(0, len(raw), 4))
    address = b"".join(socket.htonl(int.from_bytes(word)).to_bytes(4) for word in words)
    return ListeningPort(int(row["port"], 16), _address(address))


@lru_cache(maxsize=1024)
def _address(packed: bytes) -> str:
    address = ipaddress.ip_address(packed)
    if address.is_unspecified:
        return "*"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address) if address.version == 4 or mapped else f"[{address}]"  # noqa: PLR2004 - IPv4
