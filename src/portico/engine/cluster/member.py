"""What this machine lets the others see of itself. It changes nothing, and asks nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from portico import __version__
from portico.core.model.machine_views import MachineFactsView
from portico.core.model.shared import SCHEMA
from portico.core.model.traffic_views import TrafficSeriesView
from portico.core.model.views import EventView, StatusView
from portico.core.planning.cluster_check import digest_of
from portico.core.planning.neighbours import SCHEMA as LISTS_SCHEMA
from portico.engine.cluster.neighbourhood import Neighbourhood
from portico.engine.control.read_operations import ReadOperations
from portico.engine.engine import Engine
from portico.engine.projects import name_of

STATUS_TIME: Final = 0.5
"""Seconds for which a status answers the questions of all machines."""


class Member:
    def __init__(
        self,
        engine: Engine,
        neighbourhood: Neighbourhood,
        certificate_end: Callable[[], float | None],
    ) -> None:
        """`certificate_end` reads when the certificate of this machine expires, from a file."""
        self._intent, self._clock = engine.intent, engine.clock
        self._neighbourhood, self._certificate_end = neighbourhood, certificate_end

    async def view(self) -> MachineFactsView:
        until = await asyncio.to_thread(self._certificate_end)
        revisions = self._intent.revisions.values()
        others = self._neighbourhood.views()
        return MachineFactsView(
            machine=self._neighbourhood.machine,
            version=__version__,
            time=self._clock.now(),
            lists=LISTS_SCHEMA,
            store_schema=SCHEMA,
            files={name_of(each): digest_of(each.document) for each in revisions},
            certificate_until=until,
            unreached={each.name: each.reason for each in others if each.reason},
        )


class AnswersToMachines:
    """A method for each verb that other machines may ask."""

    def __init__(
        self, operations: ReadOperations, member: Member, monotonic: Callable[[], float]
    ) -> None:
        self._operations, self._member, self._now = operations, member, monotonic
        self._status_lock = asyncio.Lock()
        self._status: tuple[float, StatusView] | None = None

    async def status(self) -> StatusView:
        """Made once for all that ask at about the same time."""
        async with self._status_lock:
            made, status = self._status or (0.0, None)
            if status is None or self._now() - made >= STATUS_TIME:
                status = await self._operations.status()
                self._status = self._now(), status
            return status

    async def member(self) -> MachineFactsView:
        return await self._member.view()

    async def events(
        self,
        app: str | None,
        count: str | None,
        kind: str | None,
        since: str | None,
        until: str | None,
        before: str | None,
    ) -> list[EventView]:
        return await self._operations.events(app, count, kind, since, until, before)

    async def traffic(
        self,
        project: str | None,
        site: str | None,
        route: str | None,
        app: str | None,
        instance: str | None,
    ) -> TrafficSeriesView:
        return await self._operations.traffic(
            project=project, site=site, route=route, app=app, instance=instance
        )
