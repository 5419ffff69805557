"""What Linux tells about processes in /proc (proc_pid_stat(5))."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
MAX_COMMAND_LENGTH: Final = 200
_INTERPRETER: Final = re.compile(r"python[0-9.]*$")
_SERVICE: Final = re.compile(r"/([\w@.\\-]+\.service)(?:/|$)", re.MULTILINE)
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Stat:
    """One process at one moment."""

    pid: int
    ended: bool
    """All its threads have, and its parent has not looked yet."""
    parent: int
    session: int
    ticks: int
    """Processor time of it and of its children that have ended."""
    started: float
    resident: int
    """Bytes."""


def stat(pid: int) -> Stat | None:
    """None if there is no such process."""
    try:
        line = read(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name of the program stands in parentheses and may itself hold some.
    fields = line[line.rindex(b")") + 2 :].split()
    return Stat(
        pid,
        # Of one whose first thread alone has ended the state is Z as well.
        ended=fields[0] == b"Z" and int(fields[17]) <= 1,
        parent=int(fields[1]),
        session=int(fields[3]),
        ticks=sum(map(int, fields[11:15])),
        started=float(fields[19]),
        resident=int(fields[21]) * _PAGE,
    )


def pids() -> list[int]:
    return sorted(int(name) for name in _names("/proc") if name.isdecimal())


def descendants(pid: int) -> list[Stat]:
    """Its children, theirs, and so on."""
    by_parent: dict[int, list[Stat]] = {}
    for each in filter(None, map(stat, pids())):
        by_parent.setdefault(each.parent, []).append(each)
    found = by_parent.get(pid, [])
    for each in found:
        found += by_parent.get(each.pid, [])
    return found


def program_name(pid: int) -> str:
    """`node`; empty if that process has gone."""
    with suppress(OSError):
        return " ".join(read(f"/proc/{pid}/comm").decode(errors="replace").split())
    return ""


def command_line(pid: int) -> str:
    """`portico scale web 3`, without the interpreter and cut short; empty if that process has
    gone, or does not say.
    """
    with suppress(OSError):
        words = read(f"/proc/{pid}/cmdline").decode(errors="replace").split("\0")[:-1]
        while len(words) > 1 and _INTERPRETER.match(words[0].rpartition("/")[2]):
            words = words[1:]
            while len(words) > 1 and words[0].startswith("-") and words[0] not in {"-c", "-m"}:
                words = words[1:]
        words[:1] = [words[0].rpartition("/")[2]] if words else []
        return " ".join(words)[:MAX_COMMAND_LENGTH]
    return ""


def inherited_environment(pid: int) -> bytes:
    """The `NAME=value`s it was started with, a NUL after each; none if it is gone, or not ours
    to look at.
    """
    with suppress(OSError):
        return read(f"/proc/{pid}/environ")
    return b""


def user_of(pid: int) -> int | None:
    """The user whose rights it has; None if it is gone."""
    try:
        return os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116 - see _names
    except OSError:
        return None


def units_of(pid: int) -> list[str]:
    """The services of systemd whose control groups it is in (cgroups(7)); none if it is gone."""
    with suppress(OSError):
        return _SERVICE.findall(read(f"/proc/{pid}/cgroup").decode(errors="replace"))
    return []


def may_read_sockets(pid: int) -> bool:
    return os.access(f"/proc/{pid}/fd", os.R_OK | os.X_OK)


def sockets(pid: int) -> Iterator[int]:
    """The inodes of its open sockets; none if it is gone, or not ours to look at."""
    with suppress(OSError):
        for descriptor in _names(f"/proc/{pid}/fd"):
            with suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{descriptor}")  # noqa: PTH115 - see _names
                if target.startswith("socket:["):
                    yield int(target[8:-1])


def _names(folder: str) -> list[str]:
    return os.listdir(folder)  # noqa: PTH208 - making Paths takes longer than reading the files


def read(path: str) -> bytes:
    """A file of /proc that has less than 64 KiB: the kernel gives it in one piece."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, 1 << 16)
    finally:
        os.close(file)
