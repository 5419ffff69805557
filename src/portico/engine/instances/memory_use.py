"""How much memory instances use: measured every few seconds, and not in every round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from portico.core.model.instance import LIVE_STATES
from portico.core.model.names import InstanceId
from portico.core.model.world import World
from portico.engine.intent import Intent
from portico.ports.clock import Clock
from portico.ports.processes import Processes

MEMORY_INTERVAL: Final = 5.0
"""Seconds. PM2 looks every 30: a leak of 100 MB/s would fill a machine meanwhile."""


class MemoryUse:
    def __init__(self, intent: Intent, *, clock: Clock, processes: Processes) -> None:
        self._intent, self._clock, self._processes = intent, clock, processes
        self._memory: Mapping[InstanceId, int] = {}
        self._measured_at = 0.0

    async def read(self, world: World) -> World:
        """The world with the memory of instances that have a limit."""
        if self._clock.monotonic() - self._measured_at >= MEMORY_INTERVAL:
            self._memory = await self._measure(world)
            self._measured_at = self._clock.monotonic()
        return replace(world, memory=self._memory)

    async def _measure(self, world: World) -> Mapping[InstanceId, int]:
        limited = {
            i.id: i.process
            for i in world.instances.values()
            if i.process
            and i.state in LIVE_STATES
            and self._intent.app_of(i).max_memory is not None
        }
        if not limited:
            return {}
        held = await self._processes.resident(list(limited.values()))
        return dict(zip(limited, held, strict=True))
