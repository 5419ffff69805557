"""What connections there are, and what nginx is at: counted now and then, for whoever looks."""

from __future__ import annotations

from typing import Final

from portico.core.model.world import NginxActivity
from portico.engine.engine import Engine
from portico.ports.nginx import Nginx
from portico.ports.processes import TcpPorts
from portico.system.observation import Observation

INTERVAL: Final = 5.0
"""Seconds: the kernel tells of every connection of the machine, some microseconds each."""


class Activity:
    def __init__(self, engine: Engine, nginx: Nginx, ports: TcpPorts) -> None:
        self._intent, self._observed = engine.intent, engine.observed
        self._nginx, self._ports = nginx, ports
        self._counts = Observation(self._count, engine.clock.monotonic, fresh=INTERVAL)
        self.connections: dict[int, int] = {}
        """By port of an instance, those that it has; none of one that is not counted yet."""
        self.clients = 0
        """Connections of clients to nginx."""
        self.nginx = NginxActivity()

    async def look(self) -> None:
        """Count, unless that was done just now."""
        await self._counts.ask()

    async def _count(self) -> None:
        desired = self._intent.desired
        listening = {desired.listeners.http, desired.listeners.https}
        listening |= {each.port for each in desired.streams.values() if not each.udp}
        own = {i.port for i in self._observed.instances.values() if i.port}
        found = await self._ports.connection_counts(frozenset(listening | own))
        self.connections = {port: found.get(port, 0) for port in own}
        self.clients = sum(found.get(port, 0) for port in listening)
        self.nginx = await self._nginx.activity()
