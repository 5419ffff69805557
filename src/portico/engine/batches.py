"""Work on very many things in batches: other tasks run between two of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

BATCH_SIZE: Final = 20
"""What is done with one takes a millisecond at most."""

T = TypeVar("T")


async def in_batches(things: Iterable[T], of: int = BATCH_SIZE) -> AsyncIterator[T]:
    """Each of them, so many in one iteration of the loop, and none in the one that has begun."""
    for number, each in enumerate(things):
        if number % of == 0:
            await asyncio.sleep(0)
        yield each


class LoopShare:
    """For tasks that may all be due at one moment: a few of them continue in one iteration of the
    loop.
    """

    def __init__(self) -> None:
        self._taken, self._waiting = 0, deque[asyncio.Future[None]]()

    async def wait(self) -> None:
        loop = asyncio.get_running_loop()
        if self._taken >= BATCH_SIZE:
            self._waiting.append(turn := loop.create_future())
            await turn
            return
        if not self._taken:
            loop.call_soon(self._next, loop)
        self._taken += 1

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._taken = 0
        while self._waiting and self._taken < BATCH_SIZE:
            turn = self._waiting.popleft()
            if not turn.done():  # its task may have been cancelled
                turn.set_result(None)
                self._taken += 1
        if self._taken:
            loop.call_soon(self._next, loop)
