"""The nginx that serves on a machine without Portico, as a process."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.errors import Failed
from portico.stack.nginx_master import arguments_of, command_of
from portico.system import inherit_sockets
from portico.system.commands import run_tool
from portico.system.listening import established_sockets, listening_sockets
from portico.system.proc import descendants, pids, sockets, stat

START_TIMEOUT: Final = 30.0


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

    def stop_accepting(self, environ: Mapping[str, str]) -> str:
        """From now on it serves the connections that it has. Returns what `start_accepting` takes;
        raises Failed, with nothing changed, where its workers cannot be kept from new ones.
        """
        return self._accepting(environ, "stop", str(self.pid), str(self.started))

    def start_accepting(self, watches: str, environ: Mapping[str, str]) -> None:
        """Raises Failed."""
        self._accepting(environ, "start", text=watches)

    def _accepting(self, environ: Mapping[str, str], *words: str, text: str = "") -> str:
        program = (sys.executable, "-I", "-m", "portico.system.accepting")
        done = run_tool((*program, *words), environ, seconds=START_TIMEOUT, text=text)
        if done.returncode:
            raise Failed(f"cannot {words[0]} nginx {self.pid} accepting: {done.stderr.strip()}")
        return done.stdout

    def connections(self, ports: Collection[int]) -> int:
        """How many of clients its workers have on these ports."""
        theirs = {inode for each in descendants(self.pid) for inode in sockets(each.pid)}
        return sum(each.inode in theirs for port in ports for each in established_sockets(port))


def find_nginx(ports: Collection[int], own: int | None) -> OtherNginx | None:
    """The one that listens on one of these ports; `own` is the master of Portico's. Raises Failed
    where the kernel does not tell.
    """
    try:
        inodes = {each.inode for each in listening_sockets() if each.port in ports}
    except OSError as error:
        raise Failed(f"cannot list listening sockets: {error.strerror}") from error
    for pid in pids():
        command = command_of(pid) if pid != own else None
        if command is not None and inodes & set(sockets(pid)):
            return _inspect(pid, command)
    return None


def _inspect(pid: int, command: str) -> OtherNginx | None:
    with suppress(OSError):
        program = Path(f"/proc/{pid}/exe").readlink()
        if seen := stat(pid):
            return OtherNginx(pid, int(seen.started), str(program), arguments_of(command))
    return None
