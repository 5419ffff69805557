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
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Final

from portico.core.model.instance import Listening
from portico.system.socket_table import LISTEN, listening, open_table

TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
ROW: Final = (
    rb"^ *\d+: (?P<address>[0-9A-F]+):(?P<port>[0-9A-F]{4}) (?P<other>[0-9A-F]+:[0-9A-F]{4}) "
    rb"(?P<state>%s) \S+ \S+ \S+ +(?P<uid>\d+) +\d+ (?P<inode>\d+)"
)
"""A row of proc_pid_net(5), for a pattern of its state (include/net/tcp_states.h)."""
_ANY: Final = re.compile(ROW % b"[0-9A-F]{2}", re.MULTILINE)
_LISTEN: Final = b"%02X" % LISTEN
_CHUNK: Final = 1 << 16

_UNABLE: Final = {errno.ENOENT, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EPERM}
ANSWER_TIMEOUT: Final = 2.0


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
        with open_table(ANSWER_TIMEOUT) as table:
            return [
                Listener(Listening(each.port, _address(each.address)), each.uid, each.inode)
                for family in (socket.AF_INET, socket.AF_INET6)
                for each in listening(table, family, port)
            ]
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
