"""Work on very many things, in parts: others have their turn between two of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

THINGS_A_TURN: Final = 20
"""What is done with one takes a millisecond at most."""

T = TypeVar("T")


async def by_turns(things: Iterable[T], of: int = THINGS_A_TURN) -> AsyncIterator[T]:
    """Each of them, so many in a turn of the loop; what was before them has a turn of its own."""
    for number, each in enumerate(things):
        if number % of == 0:
            await asyncio.sleep(0)
        yield each


class Turns:
    """For tasks that may all be due in one moment: a few of them go on in a turn of the loop."""

    def __init__(self) -> None:
        self._taken, self._waiting = 0, deque[asyncio.Future[None]]()

    async def take(self) -> None:
        loop = asyncio.get_running_loop()
        if self._taken >= THINGS_A_TURN:
            self._waiting.append(turn := loop.create_future())
            await turn
            return
        if not self._taken:
            loop.call_soon(self._next, loop)
        self._taken += 1

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._taken = 0
        while self._waiting and self._taken < THINGS_A_TURN:
            turn = self._waiting.popleft()
            if not turn.done():  # its task may have been cancelled
                turn.set_result(None)
                self._taken += 1
        if self._taken:
            loop.call_soon(self._next, loop)
