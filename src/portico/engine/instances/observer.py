"""What a round begins with: what has happened since the last one, and the world as it is now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from portico.core.model.neighbour import Cluster
from portico.core.model.world import World
from portico.engine.engine import Engine
from portico.engine.instances.assembly import Instances
from portico.engine.instances.file_watches import FileWatches


class FileReader(Protocol):
    async def begin(self) -> None:
        """Take up what the files in force name now."""


class Observer:
    def __init__(
        self,
        engine: Engine,
        instances: Instances,
        watches: FileWatches,
        server_checks: FileReader,
        *,
        most_starting: int,
        cluster: Callable[[], Cluster] | None = None,
    ) -> None:
        """`cluster` is None on a machine that is in none."""
        self._cluster = cluster
        self._server_checks = server_checks
        self._engine, self._instances, self._watches = engine, instances, watches
        self._most_starting = most_starting

    async def observe(self) -> World:
        await self._instances.supervision.apply_events()
        await asyncio.sleep(0)
        self._engine.intent.writes.retry()
        if not self._engine.safe_mode.is_on:
            with self._engine.troubles.fence("file watches at start"):
                await self._watches.begin()
        with self._engine.troubles.fence("checks of servers"):
            await self._server_checks.begin()
        world = replace(
            await self._engine.observed.look(),
            most_starting=self._most_starting,
            cluster=self._cluster() if self._cluster else None,
        )
        with self._engine.troubles.fence("memory of instances"):
            world = await self._instances.memory_use.read(world)
        with self._engine.troubles.fence("schedules"):
            return replace(world, due=self._instances.timetable.due())
        return world
