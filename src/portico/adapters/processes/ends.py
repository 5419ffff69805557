"""The ends of processes, a few in a turn of the loop, however many there are in one moment."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Final

ENDS_AT_ONCE: Final = 20


class Ends:
    """Calls back when a process has ended, by its pidfd. All are one file for the loop that runs,
    which would otherwise hear of all in one turn.
    """

    def __init__(self) -> None:
        self._poll, self._loop = select.epoll(), asyncio.get_running_loop()
        self._calls: dict[int, Callable[[], None]] = {}

    def add(self, pidfd: int, call: Callable[[], None]) -> None:
        """`call` once."""
        if not self._calls:
            self._loop.add_reader(self._poll, self._on_ends)
        self._calls[pidfd] = call
        self._poll.register(pidfd, select.EPOLLIN)

    def remove(self, pidfd: int) -> None:
        """Forget one, before it is closed; it may have ended."""
        if self._calls.pop(pidfd, None) is None:
            return
        self._poll.unregister(pidfd)
        if not self._calls:
            self._loop.remove_reader(self._poll)

    def _on_ends(self) -> None:
        for pidfd, _ in self._poll.poll(0, ENDS_AT_ONCE):
            if call := self._calls.get(pidfd):
                self.remove(pidfd)
                call()
