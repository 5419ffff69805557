"""Draining of this machine: other machines serve its apps, and its own instances leave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from portico.core.model.event import Requester
from portico.core.model.views import ChangeView
from portico.engine.changes import EVERY_APP, Change, Changes
from portico.engine.cluster.neighbourhood import Neighbourhood
from portico.engine.control.convergence import Convergence
from portico.engine.engine import Engine
from portico.errors import Refused


class Draining:
    def __init__(
        self,
        engine: Engine,
        neighbourhood: Neighbourhood,
        changes: Changes,
        convergence: Convergence,
    ) -> None:
        self._intent, self._events, self._loop = engine.intent, engine.events, engine.loop
        self._neighbourhood = neighbourhood
        self._changes, self._convergence = changes, convergence

    @property
    def machine(self) -> str:
        return self._neighbourhood.machine

    def drain(self, who: Requester) -> ChangeView:
        """What no other machine has ready keeps running, and a run that is under way ends."""
        machine = self._neighbourhood.machine
        self._changes.hold([EVERY_APP])
        if not self._neighbourhood.is_known():
            raise Refused(
                f"cannot drain {machine}: no other machine of the cluster answers; nothing was "
                "changed. `portico status` shows why"
            )
        leaving = self._neighbourhood.apps_to_leave()
        self._intent.leave_to_others(leaving)

        async def work(change: Change) -> None:
            for name, app in self._intent.desired.apps.items():
                if name not in leaving and app.instances and not app.stopped:
                    change.say(f"{name} keeps running: no other machine has it ready")
            await self._convergence.apps(change, leaving)

        return self._begin("drain", who, work)

    def undrain(self, who: Requester) -> ChangeView:
        self._changes.hold([EVERY_APP])
        back = self._intent.drained_apps or frozenset()
        self._intent.leave_to_others(None)

        async def work(change: Change) -> None:
            await self._convergence.apps(change, back & self._intent.desired.apps.keys())

        return self._begin("undrain", who, work)

    def _begin(
        self, kind: str, who: Requester, work: Callable[[Change], Awaitable[None]]
    ) -> ChangeView:
        machine = self._neighbourhood.machine
        self._events.requested(kind, machine, who)
        self._loop.wake()
        return self._changes.begin(kind, machine, [EVERY_APP], work)
