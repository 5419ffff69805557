"""Requests come first: the loop that starts and stops programs waits while one is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

PRECEDENCE: Final = 0.05
"""Seconds for which a request comes first. One that takes longer waits for the loop itself."""


class OpenRequests:
    """Those that are being read, answered or sent, each for `PRECEDENCE` at most."""

    def __init__(self) -> None:
        self._open, self._none = set[object](), asyncio.Event()
        self._none.set()

    def begin(self) -> Callable[[], None]:
        """Returns what is to be called at its end."""
        request = object()
        self._open.add(request)
        self._none.clear()
        timer = asyncio.get_running_loop().call_later(PRECEDENCE, self._end, request)

        def end() -> None:
            timer.cancel()
            self._end(request)

        return end

    def _end(self, request: object) -> None:
        self._open.discard(request)
        if not self._open:
            self._none.set()

    async def wait_for_answers(self) -> None:
        """Every other task has had a turn, and no request is open; or `PRECEDENCE` is over."""
        await asyncio.sleep(0)
        if self._open:
            with suppress(TimeoutError):
                async with asyncio.timeout(PRECEDENCE):
                    await self._none.wait()
