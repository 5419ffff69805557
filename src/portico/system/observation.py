"""Something that is looked at for whoever asks, and takes a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

STALE_TIME: Final = 2.0
"""Seconds after `fresh` in which what was seen last is an answer."""

log = logging.getLogger(__name__)


class Observation:
    """Who asks often gets what was seen last, at once; only who has not asked for long waits."""

    def __init__(
        self,
        look: Callable[[], Awaitable[None]],
        now: Callable[[], float],
        *,
        fresh: float,
        timeout: float = STALE_TIME,
    ) -> None:
        """`fresh` is for how many seconds one look serves every question; `timeout` for how many
        a look is waited for.
        """
        self._look, self._now = look, now
        self.fresh, self._timeout = fresh, timeout
        self._seen_at = self._begun_at = float("-inf")
        self._job: asyncio.Task[None] | None = None

    async def ask(self) -> None:
        """Return when what was seen last is new enough, or the next look takes too long."""
        age = self._now() - self._seen_at
        if age > self.fresh and (self._job is None or self._job.done()):
            self._begun_at = self._now()
            self._job = asyncio.create_task(self._run())
        left = self._begun_at + self._timeout - self._now()
        if age > self.fresh + STALE_TIME and self._job is not None and left > 0:
            await asyncio.wait({self._job}, timeout=left)

    def forget(self) -> None:
        """Wait for the next look, as if there had been none."""
        self._seen_at = float("-inf")

    async def _run(self) -> None:
        try:
            await self._look()
        except Exception:
            log.exception("an observation failed; the previous one is shown")
        self._seen_at = self._now()
