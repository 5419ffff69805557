"""The nginx that serves on a machine without Portico, as a process."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.errors import Failed
from portico.system import inherit_sockets
from portico.system.commands import run_tool
from portico.system.listening import listening_sockets
from portico.system.proc import sockets, stat

START_TIMEOUT: Final = 30.0
_TITLE: Final = "nginx: master process "
_OPTION: Final = re.compile(r"(?:^|(?<=\s))-(?P<name>[cepg])\s+(?P<value>.*?)(?=\s+-[cepg]\s|$)")


@dataclass(frozen=True, slots=True)
class OtherNginx:
    """A master process and how it is started again."""

    pid: int
    started: int
    """Clock tick, by which it is told from a later process of the same number."""
    program: str
    arguments: tuple[str, ...]

    @property
    def is_running(self) -> bool:
        seen = stat(self.pid)
        return seen is not None and not seen.ended and int(seen.started) == self.started

    def start_on_sockets_of(self, pid: int, environ: Mapping[str, str]) -> None:
        """Start it again on the listening sockets of that master process. Raises Failed."""
        seen = stat(pid)
        if seen is None:
            raise Failed(f"cannot start {self.program} again: process {pid} has ended")
        inherit = (sys.executable, "-I", "-S", inherit_sockets.__file__)
        words = (*inherit, str(pid), str(int(seen.started)), self.program, *self.arguments)
        done = run_tool(words, environ, seconds=START_TIMEOUT)
        if done.returncode:
            raise Failed(f"cannot start {self.program} again: {done.stderr.strip()}")


def find_nginx(ports: Collection[int], own: int | None) -> OtherNginx | None:
    """The one that listens on one of these ports; `own` is the master of Portico's. Raises Failed
    where the kernel does not tell.
    """
    try:
        inodes = {each.inode for each in listening_sockets() if each.port in ports}
    except OSError as error:
        raise Failed(f"cannot list listening sockets: {error.strerror}") from error
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != own:
            title = _title(entry)
            if title.startswith(_TITLE) and inodes & set(sockets(int(entry.name))):
                return _found(int(entry.name), title.removeprefix(_TITLE))
    return None


def arguments_of(title: str) -> tuple[str, ...]:
    """The options in a master's title: nginx writes its words there with blanks between them, so
    `-g daemon on; master_process on;` is one value.
    """
    return tuple(
        word
        for found in _OPTION.finditer(title)
        for word in (f"-{found['name']}", found["value"].strip())
    )


def _found(pid: int, title: str) -> OtherNginx | None:
    with suppress(OSError):
        program = Path(f"/proc/{pid}/exe").readlink()
        if seen := stat(pid):
            return OtherNginx(pid, int(seen.started), str(program), arguments_of(title))
    return None


def _title(entry: Path) -> str:
    with suppress(OSError):
        return (entry / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
    return ""
