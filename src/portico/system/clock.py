"""The machine's clock and its chance, the only place that asks for either."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import Task

_RANDOM = random.SystemRandom()
"""Nobody can tell the next number from those before: ports are chosen by it."""


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        # CLOCK_BOOTTIME goes on through suspend and is the same for every process of
        # this boot, so that a new daemon can read what an old one wrote.
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def jitter(self) -> float:
        return _RANDOM.random()

    async def sleep(self, seconds: float) -> None:
        import asyncio  # noqa: PLC0415 - half the start of a process that only reads the time

        await asyncio.sleep(seconds)

    async def ends_within(self, task: Task[None], seconds: float) -> bool:
        import asyncio  # noqa: PLC0415

        ended, _ = await asyncio.wait((task,), timeout=seconds)
        return bool(ended)
