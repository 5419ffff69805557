"""What the kernel knows of sockets, asked of it in netlink(7) messages (sock_diag(7))."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

ESTABLISHED: Final = 1  # TCP_ESTABLISHED of include/net/tcp_states.h
LISTEN: Final = 10

_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _REQUEST, _DUMP = 4, 20, 0x1, 0x300
_ERROR, _DONE = 2, 3
_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, pid
_QUESTION: Final = struct.Struct("=BBBxI")  # struct inet_diag_req_v2, up to its id
_ADDRESS_PAIR: Final = struct.Struct("!HH4s12x4s12x")  # struct inet_diag_sockid: ports, addresses
_NO_COOKIE: Final = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_ANSWER_HEAD: Final = struct.Struct(
    "!B3xHH16s16s"
)  # struct inet_diag_msg: family, ports, addresses
_STATE: Final = struct.Struct("=IIII")  # its queues for reading and writing, uid and inode
_STATE_OFFSET: Final = 56
_PIECE: Final = 1 << 16
_PROTOCOLS: Final = {
    socket.SOCK_DGRAM: socket.IPPROTO_UDP,
    socket.SOCK_STREAM: socket.IPPROTO_TCP,
}
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Socket:
    address: bytes
    """Of its own end: 4 octets, or 16 of IPv6."""
    port: int
    other: tuple[bytes, int]
    """The other end of a connection."""
    uid: int
    """Of the process that made it."""
    inode: int
    """0 where it is closed; then the uid says nothing."""
    unread: int
    """Bytes that have come and its process has not read."""


def open_table(within: float) -> socket.socket:
    """A socket to ask the kernel, which waits that many seconds for an answer. Raises OSError
    where it cannot be asked.
    """
    table = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG)
    table.settimeout(within)
    return table


def in_state(
    table: socket.socket,
    state: int,
    family: socket.AddressFamily,
    kind: socket.SocketKind = socket.SOCK_STREAM,
    port: int = 0,
) -> Iterator[Socket]:
    """All in that state, or those of a port. Raises OSError."""
    ends = _ADDRESS_PAIR.pack(port, 0, bytes(4), bytes(4)) + bytes(len(_NO_COOKIE))
    _ask(table, _DUMP, family, kind, 1 << state, ends)
    while True:
        data, at = table.recv(_PIECE), 0
        while at < len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            body = at + _HEADER.size
            if kind == _DONE:
                return
            if kind == _ERROR:
                number = -struct.unpack_from("=i", data, body)[0]
                raise OSError(number, os.strerror(number))
            yield _read(data, body)
            at += (length + 3) & ~3


def find(
    table: socket.socket, kind: socket.SocketKind, own: Address, other: Address
) -> Socket | None:
    """The one between these ends, of IPv4. Raises OSError."""
    # For UDP the kernel looks from the other end (udp_dump_one).
    local, remote = (other, own) if kind is socket.SOCK_DGRAM else (own, other)
    ends = _ADDRESS_PAIR.pack(
        local[1], remote[1], socket.inet_aton(local[0]), socket.inet_aton(remote[0])
    )
    _ask(table, 0, socket.AF_INET, kind, 0xFFFFFFFF, ends + _NO_COOKIE)
    answer = table.recv(_PIECE)
    found = _HEADER.unpack_from(answer)[1] == _SOCK_DIAG_BY_FAMILY
    return _read(answer, _HEADER.size) if found else None


def _ask(
    table: socket.socket,
    flags: int,
    family: socket.AddressFamily,
    kind: socket.SocketKind,
    states: int,
    ends: bytes,
) -> None:
    question = _QUESTION.pack(family, _PROTOCOLS[kind], 0, states) + ends
    size = _HEADER.size + len(question)
    table.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _REQUEST | flags, 1, 0) + question)


def _read(data: bytes, at: int) -> Socket:
    family, port, other_port, address, other = _ANSWER_HEAD.unpack_from(data, at)
    size = 4 if family == socket.AF_INET else 16
    unread, _, uid, inode = _STATE.unpack_from(data, at + _STATE_OFFSET)
    return Socket(address[:size], port, (other[:size], other_port), uid, inode, unread)
