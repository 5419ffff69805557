"""The TCP ports of this machine: free ones, who holds one, and how many connections it has.

All of it is read from /proc/net/tcp and tcp6 (proc_pid_net(5)), which show the sockets of this
network namespace, whoever owns them.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import re
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from portico.adapters.processes.proc import Table, pids, program_name, sockets
from portico.core.model.instance import Listening, Process
from portico.errors import Failed
from portico.ports import Clock

FIRST, LAST = 20000, 29999
"""Below the ephemeral range of most systems, and below the node ports of Kubernetes."""
_TAKEN_BY_CUSTOM: Final = frozenset(
    # minecraft, rabbitmq, cockroach, sentinel, mongodb, rethinkdb, fluentd, steam
    {24224, 25565, 25672, 26257, 26379, 27015, 27017, 27018, 27019, 28015, 28017, 29015, 29092}
)
_CHUNK: Final = 1 << 16
_ROW: Final = re.compile(
    rb"^ *\d+: (?P<address>[0-9A-F]+):(?P<port>[0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} "
    rb"(?P<state>01|0A) \S+ \S+ \S+ +\d+ +\d+ (?P<inode>\d+)",
    re.MULTILINE,
)
_ESTABLISHED, _LISTEN = b"01", b"0A"  # enum in include/net/tcp_states.h


class LinuxPorts:
    def __init__(self, clock: Clock) -> None:
        self._range = _range()
        # Several installations on one machine should not all begin at the same port.
        self._next = int(clock.jitter() * len(self._range))

    async def free(self, avoid: frozenset[int]) -> int:
        """The next free port; each comes again only when all others have been given out."""
        for _ in self._range:
            port = self._range[self._next % len(self._range)]
            self._next += 1
            if port not in avoid and port not in _TAKEN_BY_CUSTOM and _is_free(port):
                return port
        raise Failed(f"no port is free: all from {self._range[0]} to {self._range[-1]} are in use")

    async def holder(self, port: int) -> str | None:
        if _is_free(port):
            return None
        return await asyncio.to_thread(_holder, port)

    async def established(self, ports: frozenset[int]) -> Mapping[int, int]:
        """Each connection once, at its serving end: the local port is the one asked for."""
        return await asyncio.to_thread(_established, ports)

    async def listening(self, process: Process) -> frozenset[Listening]:
        return await asyncio.to_thread(_listening, process)


def _range() -> range:
    """Where to look: never among the ports that the system gives to outgoing connections."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    if low > FIRST + 1000:
        return range(FIRST, min(LAST + 1, low))
    return range(10000, low) if low > 11000 else range(FIRST, LAST + 1)  # noqa: PLR2004 - ports


def _is_free(port: int) -> bool:
    """Whether it can be bound on every address, and so on any single one."""
    for kind, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - bound, never listening
        try:
            with socket.socket(kind, socket.SOCK_STREAM) as attempt:
                if kind is socket.AF_INET6:
                    attempt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                attempt.bind((address, port))
        except OSError as error:
            if error.errno not in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:  # no IPv6 here
                return False
    return True


def _holder(port: int) -> str | None:
    wanted = {inode for each, inode in _listeners() if each.port == port}
    if not wanted:
        return None
    for pid in pids():
        if not wanted.isdisjoint(sockets(pid)):
            return f"pid {pid} ({program_name(pid)})"
    return "a process of another user"


def _established(ports: frozenset[int]) -> Counter[int]:
    found = (int(row["port"], 16) for row in _rows() if row["state"] == _ESTABLISHED)
    return Counter(port for port in found if port in ports)


def _listening(process: Process) -> frozenset[Listening]:
    own = {inode for each in Table().family(process) for inode in sockets(each.pid)}
    return frozenset(each for each, inode in _listeners() if inode in own)


def _listeners() -> Iterator[tuple[Listening, int]]:
    for row in _rows():
        if row["state"] == _LISTEN:
            yield Listening(int(row["port"], 16), _address(row["address"])), int(row["inode"])


def _rows() -> Iterator[re.Match[bytes]]:
    """Established and listening sockets. Read in pieces, so that nobody waits for the GIL."""
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(FileNotFoundError), Path(path).open("rb", buffering=0) as file:
            rest = b""
            while chunk := file.read(_CHUNK):
                complete, newline, rest = (rest + chunk).rpartition(b"\n")
                yield from _ROW.finditer(complete + newline)


def _address(text: bytes) -> str:
    """`0100007F` is 127.0.0.1: words of 32 bits, each in the machine's own byte order."""
    raw = bytes.fromhex(text.decode())
    words = (raw[at : at + 4] for at in range(0, len(raw), 4))
    packed = b"".join(socket.htonl(int.from_bytes(word)).to_bytes(4) for word in words)
    address = ipaddress.ip_address(packed)
    if address.is_unspecified:
        return "*"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address) if address.version == 4 or mapped else f"[{address}]"  # noqa: PLR2004 - IPv4
