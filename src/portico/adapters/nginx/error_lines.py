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

MAX_SHOWN_REASONS: Final = 3
ERROR_LEVELS: Final = frozenset({"emerg", "alert"})
"""Levels that say why nginx does not come up. Clients and instances can fill a log with others."""
READ_SIZE: Final = 1 << 20
"""Bytes of the log read at a time."""
MAX_LINE_LENGTH: Final = 1 << 14
"""Bytes; nginx writes 2,048."""
MAX_KEPT_LINES: Final = 100

_STDERR_LINE: Final = re.compile(r"nginx: \[(\w+)\] (.*)")
_LOG_LINE: Final = re.compile(
    r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(\w+)\] ([0-9]{1,10})#\d+: (?:\*\d+ )?(.*)"
)
_LOCATION: Final = re.compile(r"(.*) in (/.*):(\d+)")
_BIND_ERROR: Final = re.compile(r"bind\(\) to (.*):([0-9]{1,5}) failed \(([0-9]{1,5}): ")
_BIND_FAILURE_TEXT: Final = "still could not bind()"


@dataclass(frozen=True, slots=True)
class ErrorLine:
    level: str
    text: str
    pid: int | None = None
    """Who wrote it into the error log."""

    @property
    def is_fatal(self) -> bool:
        """Whether nginx has given up; it tries to bind five times, within two seconds."""
        return self.level == "emerg" and not _BIND_ERROR.match(self.text)

    @property
    def is_taken_port(self) -> bool:
        found = _BIND_ERROR.match(self.text)
        return bool(found and int(found[3]) == errno.EADDRINUSE)

    def __str__(self) -> str:
        return f"nginx: [{self.level}] {self.text}"


def error_lines(text: str) -> list[ErrorLine]:
    """Those on stderr, or in a part of the error log; other lines are left out."""
    found = []
    for line in text.splitlines():
        if match := _STDERR_LINE.fullmatch(line):
            found.append(ErrorLine(match[1], match[2]))
        elif match := _LOG_LINE.fullmatch(line):
            found.append(ErrorLine(match[1], match[3], int(match[2])))
    return found


class LogTail:
    """The lines of ERROR_LEVELS written to a file from now on, at most the first MAX_KEPT_LINES.
    However much else is written, each byte is read once, and little of it at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._from = path.stat().st_size if path.exists() else 0
        self._rest = b""
        self._found: list[ErrorLine] = []

    def error_lines(self) -> list[ErrorLine]:
        *lines, self._rest = (self._rest + self._new_bytes()).split(b"\n")
        self._rest = self._rest[:MAX_LINE_LENGTH]
        for line in lines:
            if any(b"[%b]" % level.encode() in line for level in ERROR_LEVELS):
                found = error_lines(line[:MAX_LINE_LENGTH].decode(errors="replace"))
                self._found += [each for each in found if each.level in ERROR_LEVELS]
        self._found = self._found[:MAX_KEPT_LINES]
        return self._found

    def __str__(self) -> str:
        return "\n".join(map(str, self.error_lines()))

    def _new_bytes(self) -> bytes:
        with suppress(OSError), self._path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < self._from:  # emptied in place
                self._from = 0
            file.seek(self._from)
            data = file.read(READ_SIZE)
            self._from += len(data)
            return data
        return b""


async def explain(output: str, folder: Path, ports: TcpPorts) -> str:
    """The reasons in nginx's words, files named as in a generation; `folder` is HOME/nginx."""
    fatal = [each.text for each in error_lines(output) if each.level == "emerg"]
    reasons = dict.fromkeys(text for text in fatal if text != _BIND_FAILURE_TEXT)
    if not reasons:
        return output.strip().partition("\n")[0] or "nginx gave no reason"
    explanations = [
        await _explanation(reason, folder, ports) for reason in list(reasons)[:MAX_SHOWN_REASONS]
    ]
    return "; ".join(explanations)


async def _explanation(reason: str, folder: Path, ports: TcpPorts) -> str:
    if bind := _BIND_ERROR.match(reason):
        return await _port(bind[1], int(bind[2]), int(bind[3]), reason, ports)
    if located := _LOCATION.fullmatch(reason):
        return f"{located[1]} ({_short_path(located[2], folder)}, line {located[3]})"
    return reason


async def _port(address: str, port: int, code: int, reason: str, ports: TcpPorts) -> str:
    choose = "set other ports in [edge] http and https, or [streams]"
    if code == errno.EADDRINUSE:
        holder = await ports.holder(port) or "another program"
        return f"port {port} is held by {holder}: stop that program, or {choose}"
    if code == errno.EACCES:
        allow = f"sudo sysctl -w net.ipv4.ip_unprivileged_port_start={port}"
        return f"only root may listen on port {port}: run `{allow}`, or {choose}"
    if code == errno.EADDRNOTAVAIL:
        return f"{address} is not an address of this machine; see [edge] bind"
    return reason


def _short_path(file: str, folder: Path) -> str:
    """`sites/a.conf` for a file of a generation; an operator's own keeps its whole path."""
    inside = re.fullmatch(rf"{re.escape(str(folder))}/(?:generations/\d+|current)/(.+)", file)
    return inside[1] if inside else file
