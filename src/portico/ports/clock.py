"""Time and chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from asyncio import Task


class Clock(Protocol):
    def now(self) -> float:
        """Wall time, seconds since 1970. For people and certificates only."""

    def monotonic(self) -> float:
        """Seconds since boot, suspend included; the same for every process of this boot."""

    def jitter(self) -> float:
        """A number in [0, 1), evenly spread."""

    async def sleep(self, seconds: float) -> None: ...

    async def ends_within(self, task: Task[None], seconds: float) -> bool:
        """Whether the task ends within so many seconds. It is not cancelled if not."""
