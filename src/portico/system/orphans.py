"""Processes that lost their parent. Process 1 inherits them and has to wait for their ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PARENT, STATE = 1, 0  # fields 4 and 3 of /proc/PID/stat, counted from the end of the name


class Orphans:
    """In a container the daemon may be process 1: a worker of a killed nginx, and whatever an
    instance left behind, would stay in the table of processes for ever.
    """

    def __init__(self) -> None:
        self._seen: frozenset[int] = frozenset()

    def bury(self) -> None:
        """Wait for the ended children that were there the last time too.

        Those that somebody here waits for are gone sooner, and their exit codes are not ours.
        Call it every few seconds.
        """
        ended = frozenset(_ended_children())
        for pid in ended & self._seen:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = ended


def _ended_children() -> Iterator[int]:
    mine = str(os.getpid())
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            if fields[STATE] == "Z" and fields[PARENT] == mine:
                yield int(folder.name)
