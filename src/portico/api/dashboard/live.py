"""What all open dashboards are sent each second: one status, made once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

INTERVAL: Final = 1.0
MAX_READERS: Final = 20
"""More get 503: each costs as much as it is sent."""


class LiveStatus:
    """Frames are events of text/event-stream (WHATWG HTML, 9.2). While nobody reads, none is made.

    Someone who reads slowly is sent the newest frame, not those that were made meanwhile.
    """

    def __init__(self, frame: Callable[[], Awaitable[str]], interval: float = INTERVAL) -> None:
        """`frame` returns a JSON text of one line."""
        self._make, self._interval = frame, interval
        self._frame, self._number, self._made_at = "", 0, float("-inf")
        self._readers, self._making = 0, asyncio.Lock()

    @property
    def is_full(self) -> bool:
        return self._readers >= MAX_READERS

    async def frames(self) -> AsyncIterator[str]:
        """Until the reader goes. The first frame comes at once."""
        self._readers += 1
        seen = -1
        try:
            while True:
                await self._newer_than(seen)
                seen = self._number
                yield f"data: {self._frame}\n\n"
        finally:
            self._readers -= 1

    async def _newer_than(self, seen: int) -> None:
        """Return when there is such a frame, of now. Whoever comes first makes it."""
        async with self._making:
            loop = asyncio.get_running_loop()
            age = loop.time() - self._made_at
            if age < self._interval:
                if self._number > seen:
                    return
                await asyncio.sleep(self._interval - age)
            self._frame = await self._make()
            self._number, self._made_at = self._number + 1, loop.time()
