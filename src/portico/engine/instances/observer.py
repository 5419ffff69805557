"""What a round begins with: what has happened since the last one, and the world as it is now."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from portico.core.model.world import World
from portico.engine.instances.assembly import Instances
from portico.engine.instances.file_watches import FileWatches
from portico.engine.intent import Intent
from portico.engine.observed import Observed
from portico.engine.safe_mode import SafeMode
from portico.engine.troubles import Troubles


class Observer:
    def __init__(  # noqa: PLR0913 - all that is looked at
        self,
        intent: Intent,
        observed: Observed,
        instances: Instances,
        watches: FileWatches,
        safe_mode: SafeMode,
        troubles: Troubles,
        *,
        most_starting: int,
    ) -> None:
        self._intent, self._observed, self._instances = intent, observed, instances
        self._watches, self._safe_mode, self._troubles = watches, safe_mode, troubles
        self._most_starting = most_starting

    async def observe(self) -> World:
        await self._instances.supervision.digest()
        await asyncio.sleep(0)
        self._intent.write_again()
        if not self._safe_mode.is_on:
            with self._troubles.fence("file watches at start"):
                await self._watches.begin()
        world = replace(await self._observed.look(), most_starting=self._most_starting)
        with self._troubles.fence("memory of instances"):
            world = await self._instances.memory_use.read(world)
        with self._troubles.fence("schedules"):
            return replace(world, due=self._instances.timetable.due())
        return world
