"""What the other machines say of themselves: asked of their daemons, through both nginxes.

A machine that does not answer is a row that says so, and never the failure of the question.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from pydantic import ValidationError

from portico.core.model.machine_verbs import MEMBER
from portico.core.model.machine_views import (
    ClusterCheckView,
    MachineFactsView,
    MachineStatusView,
    MachineView,
    StoreMemberView,
)
from portico.core.model.traffic_views import TrafficSeriesView
from portico.core.model.verbs import EVENTS, STATUS, TRAFFIC
from portico.core.model.views import EventView, NeighbourView
from portico.core.planning.cluster_check import (
    MemberAnswer,
    StoreAnswer,
    findings,
    machine_rows,
)
from portico.engine.cluster.member import Member
from portico.engine.cluster.neighbourhood import Neighbourhood
from portico.errors import Failed, NotFound
from portico.ports.clock import Clock
from portico.ports.neighbours import Neighbours

if TYPE_CHECKING:
    from portico.engine.cluster.cluster_store import ClusterStore

ANSWER_TIMEOUT: Final = 1.0
"""Seconds for the answer of a machine."""
SILENCE_TIME: Final = 2.0
"""Seconds after which a machine that does not answer is not asked for more than its list."""


class MachineReports:
    def __init__(
        self,
        neighbourhood: Neighbourhood,
        member: Member,
        port: Neighbours,
        clock: Clock,
        shared: ClusterStore | None,
    ) -> None:
        """`shared` is None where the cluster has no store."""
        self._shared = shared
        self._neighbourhood, self._member = neighbourhood, member
        self._port, self._clock = port, clock

    def is_other(self, machine: str | None) -> bool:
        """Whether another machine is meant; without a name it is this one."""
        return bool(machine) and machine != self._neighbourhood.machine

    async def views(self, only: str | None = None) -> list[MachineView]:
        """Of all others, or of one of them. Raises NotFound where none has that name."""
        others = self._neighbourhood.views() if only is None else [self._neighbour(only)]
        return await asyncio.gather(*map(self._view, others))

    async def _view(self, other: NeighbourView) -> MachineView:
        status, problem = None, ""
        try:
            raw = await self._ask(other, STATUS.path, {})
            status = MachineStatusView.model_validate_json(raw)
        except (Failed, ValidationError) as error:
            problem = _reason(error)
        return MachineView(**dict(other), status=status, problem=problem)

    async def events(self, machine: str, query: Mapping[str, str | None]) -> list[EventView]:
        """Raises NotFound, or Failed without an answer, as the one below."""
        raw = await self._answer(machine, EVENTS.path, query)
        try:
            return [EventView.model_validate(each) for each in json.loads(raw)]
        except (ValueError, TypeError, RecursionError):
            raise _unreadable(machine) from None

    async def traffic(self, machine: str, query: Mapping[str, str | None]) -> TrafficSeriesView:
        raw = await self._answer(machine, TRAFFIC.path, query)
        try:
            return TrafficSeriesView.model_validate_json(raw)
        except ValidationError:
            raise _unreadable(machine) from None

    async def member(self) -> MachineFactsView:
        return await self._member.view()

    async def check(self) -> ClusterCheckView:
        own, others = await self._member.view(), self._neighbourhood.views()
        answers, store = await asyncio.gather(
            asyncio.gather(*map(self._member_of, others)), self._store_answer()
        )
        return ClusterCheckView(
            machine=own.machine,
            machines=machine_rows(own, answers),
            store=tuple(
                StoreMemberView(
                    endpoint=each.endpoint,
                    problem=each.problem,
                    size_bytes=each.size,
                    quota_bytes=each.quota,
                    leads=each.leads,
                )
                for each in (store.members if store else ())
            ),
            findings=tuple(findings(own, answers, self._clock.now(), store)),
        )

    async def _store_answer(self) -> StoreAnswer | None:
        if (shared := self._shared) is None:
            return None
        follower, members = shared.follower, await shared.store.health()
        return StoreAnswer(follower.trouble, members, follower.schema)

    async def _member_of(self, other: NeighbourView) -> MemberAnswer:
        begun, asked = self._clock.monotonic(), self._clock.now()
        try:
            raw = await self._ask(other, MEMBER.path, {})
            member = MachineFactsView.model_validate_json(raw)
        except (Failed, ValidationError) as error:
            return MemberAnswer(other.name, None, _reason(error))
        seconds = self._clock.monotonic() - begun
        return MemberAnswer(other.name, member, asked=asked, round_trip=seconds)

    async def _answer(self, machine: str, path: str, query: Mapping[str, str | None]) -> bytes:
        try:
            return await self._ask(self._neighbour(machine), path, query)
        except Failed as error:
            raise Failed(f"machine {machine} gives no answer: {error}") from None

    async def _ask(
        self, other: NeighbourView, path: str, query: Mapping[str, str | None]
    ) -> bytes:
        if other.since is not None and self._clock.now() - other.since > SILENCE_TIME:
            raise Failed(other.reason)
        query_text = urlencode({key: value for key, value in query.items() if value is not None})
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await self._port.report(
                    other.name, f"{path}?{query_text}" if query_text else path
                )
        except TimeoutError:
            raise Failed("it does not answer in time") from None

    def _neighbour(self, machine: str) -> NeighbourView:
        others = {each.name: each for each in self._neighbourhood.views()}
        if machine in others:
            return others[machine]
        raise NotFound(
            f"no other machine of the cluster is called {machine}; there are {', '.join(others)}"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "its answer cannot be read; its Portico has another version"
    return str(error)


def _unreadable(machine: str) -> Failed:
    return Failed(
        f"the answer of machine {machine} cannot be read: its Portico has another version"
    )
