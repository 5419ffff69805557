"""All TCP sockets of this machine that listen: who made them, and where.

The kernel is asked for these alone (sock_diag(7)), which takes it a few microseconds each, however
many connections there are. Where it cannot be asked so, they are read from /proc/net/tcp and tcp6:
then it goes through its table of all connections.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Final

from portico.core.model.instance import Listening

TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
ROW: Final = (
    rb"^ *\d+: (?P<address>[0-9A-F]+):(?P<port>[0-9A-F]{4}) (?P<other>[0-9A-F]+:[0-9A-F]{4}) "
    rb"(?P<state>%s) \S+ \S+ \S+ +(?P<uid>\d+) +\d+ (?P<inode>\d+)"
)
"""A row of proc_pid_net(5), for a pattern of its state (include/net/tcp_states.h)."""
_ANY: Final = re.compile(ROW % b"[0-9A-F]{2}", re.MULTILINE)
_LISTEN: Final = b"0A"
_CHUNK: Final = 1 << 16

# Numbers of netlink(7) and sock_diag(7).
_SOCK_DIAG, _BY_FAMILY, _REQUEST_DUMP = 4, 20, 0x301
_ERROR, _DONE = 2, 3
_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, pid
_REQUEST: Final = struct.Struct("=BBBxI2s46x")
"""Family, protocol, extensions, states, and of a socket its port."""
_FOUND: Final = struct.Struct("!4xH2x16s")  # sport and src of inet_diag_msg
_OWNER: Final = struct.Struct("=II")  # idiag_uid and idiag_inode
_OWNER_AT: Final = 64
_UNABLE: Final = {errno.ENOENT, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EPERM}
WITHIN: Final = 2.0


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that listens."""

    at: Listening
    uid: int
    """Of the process that made it."""
    inode: int


def listeners(port: int = 0) -> list[Listener]:
    """All of them, or those of a port."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
            kernel.settimeout(WITHIN)
            families = (socket.AF_INET, socket.AF_INET6)
            return [each for family in families for each in _asked(kernel, family, port)]
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
    return [each for each in _read() if port in {0, each.at.port}]


def rows(path: str, pattern: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
    """Read in pieces, so that nobody waits for the GIL."""
    with suppress(FileNotFoundError), Path(path).open("rb", buffering=0) as file:
        rest = b""
        while chunk := file.read(_CHUNK):
            complete, newline, rest = (rest + chunk).rpartition(b"\n")
            yield from pattern.finditer(complete + newline)


def _asked(kernel: socket.socket, family: socket.AddressFamily, port: int) -> Iterator[Listener]:
    states = 1 << int(_LISTEN, 16)
    request = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, states, port.to_bytes(2))
    kernel.send(
        _HEADER.pack(_HEADER.size + len(request), _BY_FAMILY, _REQUEST_DUMP, 1, 0) + request
    )
    while True:
        data, at = kernel.recv(_CHUNK), 0
        while at < len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            body = at + _HEADER.size
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise OSError(-struct.unpack_from("=i", data, body)[0], "cannot ask for sockets")
            found, address = _FOUND.unpack_from(data, body)
            uid, inode = _OWNER.unpack_from(data, body + _OWNER_AT)
            packed = address[:4] if data[body] == socket.AF_INET else address
            yield Listener(Listening(found, _address(packed)), uid, inode)
            at += (length + 3) & ~3


def _read() -> Iterator[Listener]:
    """Those that listen come first, so that reading ends where connections begin."""
    for path in TABLES:
        for row in takewhile(lambda row: row["state"] == _LISTEN, rows(path, _ANY)):
            at = Listening(int(row["port"], 16), address_of(row["address"]))
            yield Listener(at, int(row["uid"]), int(row["inode"]))


def address_of(text: bytes) -> str:
    """`0100007F` is 127.0.0.1: words of 32 bits, each in the machine's own byte order."""
    raw = bytes.fromhex(text.decode())
    words = (raw[at : at + 4] for at in range(0, len(raw), 4))
    return _address(b"".join(socket.htonl(int.from_bytes(word)).to_bytes(4) for word in words))


@lru_cache(maxsize=1024)
def _address(packed: bytes) -> str:
    address = ipaddress.ip_address(packed)
    if address.is_unspecified:
        return "*"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address) if address.version == 4 or mapped else f"[{address}]"  # noqa: PLR2004 - IPv4
