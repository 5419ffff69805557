"""What goes on beside the reconcile loop. A fault in one task stays in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, Protocol, cast

from portico.engine.troubles import Troubles
from portico.ports.clock import Clock

FIRST_PAUSE: Final = 1.0
MAX_PAUSE: Final = 300.0
"""Seconds after a beat that failed, in addition to what is waited for anyway."""


class Task(Protocol):
    """One that was started. Nobody waits for it: what it raises is seen to by itself."""

    def cancel(self) -> bool: ...

    def done(self) -> bool: ...


class Tasks:
    """Of the daemon's tasks only the reconcile loop is not one of these: with it the daemon ends.

    Whatever one of these raises is a trouble of what it concerns, see `Troubles.fence`.
    """

    def __init__(self, group: asyncio.TaskGroup, troubles: Troubles, clock: Clock) -> None:
        self._group, self._clock = group, clock
        self.fence = troubles.fence

    def start(self, subject: str, work: Callable[[], Awaitable[None]], *, of: str = "") -> Task:
        """Run it once; one that fails has ended."""
        return self._group.create_task(self._run_fenced(subject, work, of), name=subject)

    async def _run_fenced(
        self, subject: str, work: Callable[[], Awaitable[None]], of: str
    ) -> None:
        with self.fence(subject, of=of):
            await work()

    async def ends_within(self, task: Task, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        return await self._clock.ends_within(cast("asyncio.Task[None]", task), seconds)

    def repeat(
        self,
        subject: str,
        beat: Callable[[], Awaitable[None]],
        pause: Callable[[], Awaitable[object]],
    ) -> None:
        """Run it again and again, with `pause` between; after one that failed the next comes, and
        the more of them have failed the later.
        """
        self._group.create_task(self._repeat(subject, beat, pause), name=subject)

    async def _repeat(
        self,
        subject: str,
        beat: Callable[[], Awaitable[None]],
        pause: Callable[[], Awaitable[object]],
    ) -> NoReturn:
        extra = FIRST_PAUSE
        while True:
            went_well = False
            with self.fence(subject):
                await beat()
                went_well = True
            if not went_well:
                await self._clock.sleep(extra)
            extra = FIRST_PAUSE if went_well else min(2 * extra, MAX_PAUSE)
            await pause()
