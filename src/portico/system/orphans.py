"""Processes that lost their parent. This one inherits them and has to wait for their ends."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Final

from portico.system.proc import pids, stat

log = logging.getLogger(__name__)

REAP_INTERVAL: Final = 5.0  # seconds
_PR_SET_CHILD_SUBREAPER: Final = 36


def inherit_orphans() -> None:
    """What an instance, or nginx, leaves behind becomes a child of this process, not of process 1
    (PR_SET_CHILD_SUBREAPER of prctl(2)): so it is known whose it was.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        log.warning("cannot inherit orphans: %s", os.strerror(ctypes.get_errno()))


class Orphans:
    """They would stay in the table of processes as long as this process lives."""

    def __init__(self) -> None:
        self._seen: frozenset[int] = frozenset()

    def reap(self, exclude: Collection[int]) -> None:
        """Wait for the ended children that were there the last time too, but for those `exclude`
        that somebody here waits for.

        Other children of our own are gone sooner, and their exit codes are not ours. Call it
        every REAP_INTERVAL seconds.
        """
        ended = frozenset(_ended_children()) - set(exclude)
        for pid in ended & self._seen:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = ended


def _ended_children() -> Iterator[int]:
    """Nothing is read as long as there is none."""
    with suppress(ChildProcessError):
        if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            mine = os.getpid()
            for each in filter(None, map(stat, pids())):
                if each.ended and each.parent == mine:
                    yield each.pid
