"""Nginx's own words about what it cannot do, in the operator's terms."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.ports.processes import TcpPorts

MAX_SHOWN: Final = 3
GRAVE: Final = frozenset({"emerg", "alert"})
"""Levels that say why nginx does not come up. Clients and instances can fill a log with others."""
READ_SIZE: Final = 1 << 20
"""Bytes of the log in one look."""
MAX_LINE_LENGTH: Final = 1 << 14
"""Bytes; nginx writes 2,048."""
MAX_KEPT: Final = 100

_ON_STDERR: Final = re.compile(r"nginx: \[(\w+)\] (.*)")
_IN_LOG: Final = re.compile(
    r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(\w+)\] ([0-9]{1,10})#\d+: (?:\*\d+ )?(.*)"
)
_LOCATED: Final = re.compile(r"(.*) in (/.*):(\d+)")
_BIND: Final = re.compile(r"bind\(\) to (.*):([0-9]{1,5}) failed \(([0-9]{1,5}): ")
_STILL: Final = "still could not bind()"


@dataclass(frozen=True, slots=True)
class ErrorLine:
    level: str
    text: str
    pid: int | None = None
    """Who wrote it into the error log."""

    @property
    def is_final(self) -> bool:
        """Whether nginx has given up; it tries to bind five times, within two seconds."""
        return self.level == "emerg" and not _BIND.match(self.text)

    @property
    def is_taken_port(self) -> bool:
        found = _BIND.match(self.text)
        return bool(found and int(found[3]) == errno.EADDRINUSE)

    def __str__(self) -> str:
        return f"nginx: [{self.level}] {self.text}"


def error_lines(text: str) -> list[ErrorLine]:
    """What was said on stderr, or in a part of the error log; other lines are left out."""
    found = []
    for line in text.splitlines():
        if said := _ON_STDERR.fullmatch(line):
            found.append(ErrorLine(said[1], said[2]))
        elif said := _IN_LOG.fullmatch(line):
            found.append(ErrorLine(said[1], said[3], int(said[2])))
    return found


class LogTail:
    """The grave complaints that have been written to a file since now, at most the first
    MAX_KEPT. However much else is written, each byte is read once, and little of it at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._from = path.stat().st_size if path.exists() else 0
        self._rest = b""
        self._found: list[ErrorLine] = []

    def error_lines(self) -> list[ErrorLine]:
        *lines, self._rest = (self._rest + self._more()).split(b"\n")
        self._rest = self._rest[:MAX_LINE_LENGTH]
        for line in lines:
            if any(b"[%b]" % level.encode() in line for level in GRAVE):
                found = error_lines(line[:MAX_LINE_LENGTH].decode(errors="replace"))
                self._found += [each for each in found if each.level in GRAVE]
        self._found = self._found[:MAX_KEPT]
        return self._found

    def __str__(self) -> str:
        return "\n".join(map(str, self.error_lines()))

    def _more(self) -> bytes:
        with suppress(OSError), self._path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < self._from:  # emptied in place
                self._from = 0
            file.seek(self._from)
            data = file.read(READ_SIZE)
            self._from += len(data)
            return data
        return b""


async def explain(said: str, folder: Path, ports: TcpPorts) -> str:
    """The reasons in nginx's words, files named as in a generation; `folder` is HOME/nginx."""
    fatal = [each.text for each in error_lines(said) if each.level == "emerg"]
    reasons = dict.fromkeys(text for text in fatal if text != _STILL)
    if not reasons:
        return said.strip().partition("\n")[0] or "nginx gave no reason"
    told = [await _explained(reason, folder, ports) for reason in list(reasons)[:MAX_SHOWN]]
    return "; ".join(told)


async def _explained(reason: str, folder: Path, ports: TcpPorts) -> str:
    if bind := _BIND.match(reason):
        return await _port(bind[1], int(bind[2]), int(bind[3]), reason, ports)
    if located := _LOCATED.fullmatch(reason):
        return f"{located[1]} ({_short(located[2], folder)}, line {located[3]})"
    return reason


async def _port(address: str, port: int, code: int, reason: str, ports: TcpPorts) -> str:
    choose = "set other ports in [edge] http and https"
    if code == errno.EADDRINUSE:
        holder = await ports.holder(port) or "another program"
        return f"port {port} is held by {holder}: stop that program, or {choose}"
    if code == errno.EACCES:
        return f"only root may listen on port {port}: {choose}, 1024 or higher"
    if code == errno.EADDRNOTAVAIL:
        return f"{address} is not an address of this machine; see [edge] bind"
    return reason


def _short(file: str, folder: Path) -> str:
    """`sites/a.conf` for a file of a generation; an operator's own keeps its whole path."""
    inside = re.fullmatch(rf"{re.escape(str(folder))}/(?:generations/\d+|current)/(.+)", file)
    return inside[1] if inside else file
