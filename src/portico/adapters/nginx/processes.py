"""The processes of one installation's nginx, found by the folder they run in.

nginx is started in PORTICO_HOME/nginx and never leaves it, and no other nginx runs there. Its
titles say what each process is; its environment is no mark, since nginx writes over it.
"""

from __future__ import annotations

import os
import re
import select
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from portico.system.proc import stat

_TITLE: Final = re.compile(r"\w+: (master process|worker process( is shutting down)?|cache \w+ )")


@dataclass(frozen=True, slots=True)
class NginxProcess:
    pid: int
    parent: int
    title: str
    uid: int
    """The user that it runs as; the owner of its folder in /proc would not say."""

    @property
    def is_master(self) -> bool:
        return "master process" in self.title

    @property
    def is_worker(self) -> bool:
        return "worker process" in self.title

    @property
    def is_shutting_down(self) -> bool:
        """A worker that takes no new connections any more and finishes what it has."""
        return self.title.endswith("is shutting down")

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


def processes_in(folder: Path) -> list[NginxProcess]:
    """All of them, from /proc; blocks for about 6 µs a process of the machine."""
    return list(_processes_in(str(folder)))


def as_they_are(processes: Iterable[NginxProcess], folder: Path) -> list[NginxProcess]:
    """Those that have not ended, with the titles that they have now; without a look at others."""
    cwd = str(folder)
    return [now for each in processes if (now := _process(each.pid, cwd))]


def workers_of(master: Master, processes: list[NginxProcess]) -> list[NginxProcess]:
    return [process for process in processes if process.is_worker and process.parent == master.pid]


def orphans(processes: list[NginxProcess]) -> list[NginxProcess]:
    """Those whose master was killed: they serve on, on the same ports, with what they know."""
    masters = {process.pid for process in processes if process.is_master}
    return [p for p in processes if not p.is_master and p.parent not in masters]


def users_of(folder: Path) -> frozenset[int]:
    """Those that workers run as."""
    found = processes_in(folder)
    masters = {process.pid for process in found if process.is_master}
    return frozenset(process.uid for process in found if process.parent in masters)


class Master:
    """A running master process, held so that its number cannot come to mean another one.

    One that was closed, because it has exited, counts as such: its pidfd may be another file's.
    """

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid, self.pidfd, self._is_closed = pid, pidfd, False
        seen = stat(pid)
        if seen is None:
            raise ProcessLookupError(pid)
        self.started = seen.started
        """In clock ticks since boot (proc_pid_stat(5), field 22)."""

    @classmethod
    def from_pid_file(cls, file: Path) -> Self | None:
        """The master that the file names, if it runs and belongs to the file's folder."""
        with suppress(OSError, ValueError, OverflowError):
            pid = int(file.read_text())
            pidfd = os.pidfd_open(pid)
            found = _process(pid, str(file.parent))
            if found is not None and found.is_master:
                return cls(pid, pidfd)
            os.close(pidfd)
        return None

    @classmethod
    def running_in(cls, folder: Path) -> Self | None:
        """One whose workers take connections, rather than one that is on its way out."""
        found = processes_in(folder)
        serving = {each.parent for each in found if each.is_worker and not each.is_shutting_down}
        masters = [each.pid for each in found if each.is_master]
        with suppress(OSError, ValueError):
            pid = max(masters, key=serving.__contains__)
            return cls(pid, os.pidfd_open(pid))
        return None

    @classmethod
    def of_other_folder(cls, pid: int) -> Self | None:
        """The master of an nginx that is not of this installation; None if it is no such one."""
        with suppress(OSError):
            pidfd = os.pidfd_open(pid)
            found = _process(pid, _folder_of(pid))
            if found is not None and found.is_master:
                return cls(pid, pidfd)
            os.close(pidfd)
        return None

    def duplicate(self) -> Master | None:
        """The same, held once more; None if it has exited."""
        with suppress(ProcessLookupError):
            return None if self._is_closed else Master(self.pid, os.dup(self.pidfd))
        return None

    def is_running(self) -> bool:
        if self._is_closed:
            return False
        watching = select.poll()
        watching.register(self.pidfd, select.POLLIN)
        return not watching.poll(0)

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            if not self._is_closed:
                signal.pidfd_send_signal(self.pidfd, number)

    def close(self) -> None:
        """Let go of it; as process 1 of a container we also have to reap it."""
        if self._is_closed:
            return
        self._is_closed = True
        with suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        os.close(self.pidfd)


def group_of(process: NginxProcess) -> int | None:
    """The group it runs as; the owner of its folder in /proc would not say."""
    with suppress(OSError):
        return int(_status(process.pid)["Gid"].split()[0])
    return None


def _processes_in(folder: str) -> Iterator[NginxProcess]:
    for name in os.listdir("/proc"):  # noqa: PTH208 - a Path for each would cost more than reading
        if name.isdecimal() and (process := _process(int(name), folder)):
            yield process


def _process(pid: int, folder: str) -> NginxProcess | None:
    if not folder or _folder_of(pid) != folder:
        return None
    with suppress(OSError):
        title = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
        seen = stat(pid)
        uid = int(_status(pid)["Uid"].split()[0])
        if seen and _TITLE.match(title) and not seen.ended and _may_be_ours(uid, title):
            return NginxProcess(pid, seen.parent, title, uid)
    return None


def _folder_of(pid: int) -> str:
    """Where it runs; empty if it is gone, or not ours to look at. Asked of all, so it is short."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115 - as above
    except OSError:
        return ""


def _may_be_ours(uid: int, title: str) -> bool:
    """Everybody can enter the folder and choose a title. Root's workers run as somebody else."""
    own = os.geteuid()
    return uid == own or (own == 0 and "master process" not in title)


def _status(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
