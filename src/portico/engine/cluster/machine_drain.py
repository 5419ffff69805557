"""Drain of this machine: other machines serve its apps, and its own instances leave. They also
run its part of each `total` before everything on it ends (`portico down --all`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from portico.core.model.event import Requester
from portico.core.model.views import ChangeView
from portico.engine.changes import EVERY_APP, Change
from portico.engine.cluster.neighbourhood import Neighbourhood
from portico.engine.control.convergence import Convergence
from portico.engine.engine import Engine
from portico.errors import Refused

TAKE_OVER_TIMEOUT: Final = 120.0


class MachineDrain:
    def __init__(
        self, engine: Engine, neighbourhood: Neighbourhood, convergence: Convergence
    ) -> None:
        self._intent, self._events, self._loop = engine.intent, engine.events, engine.loop
        self._clock = engine.clock
        self._neighbourhood = neighbourhood
        self._changes, self._convergence = engine.changes, convergence

    @property
    def machine(self) -> str:
        return self._neighbourhood.machine

    def drain(self, who: Requester) -> ChangeView:
        """What no other machine has ready keeps running, and a run that is under way ends."""
        machine = self.machine
        self._changes.hold([EVERY_APP])
        self._assert_in_force("drain")
        if not self._neighbourhood.is_known():
            raise Refused(
                f"cannot drain {machine}: no other machine of the cluster answers; nothing was "
                "changed. `portico status` shows why"
            )
        self._intent.leave_to_others(self._neighbourhood.apps_to_leave())

        async def work(change: Change) -> None:
            await self._wait_for_others(change)
            leaving = self._intent.drained_apps or frozenset()
            for name, app in self._intent.desired.apps.items():
                if name not in leaving and app.instances and not app.stopped:
                    change.say(f"{name} keeps running: no other machine has it ready")
            await self._convergence.apps(change, leaving)

        return self._begin("drain", who, work)

    def before_end(self, *, everything: bool) -> Callable[[Change], Awaitable[None]] | None:
        """What the end of everything waits for; None if for nothing, as where all machines with a
        store end their last project, which is not `everything` on one of them.
        """
        if self._neighbourhood.has_store and not everything:
            return None
        if not self._neighbourhood.is_known() or not self._neighbourhood.apps_not_taken():
            return None
        self._intent.leave_to_others(self._neighbourhood.apps_to_leave())
        return self._wait_for_others

    async def _wait_for_others(self, change: Change) -> None:
        """Until they run this machine's part of each `total`; what they have not ready by the end
        is left to those that have the app at all.
        """
        end, said = self._clock.monotonic() + TAKE_OVER_TIMEOUT, frozenset[str]()
        while waiting := self._neighbourhood.apps_not_taken():
            if self._clock.monotonic() > end:
                left = self._intent.drained_apps or frozenset()
                self._intent.leave_to_others(
                    left | (waiting & self._neighbourhood.apps_elsewhere())
                )
                return
            if waiting - said:
                names = ", ".join(sorted(waiting - said))
                change.say(f"waiting until other machines run this machine's part of {names}")
            said |= waiting
            await self._loop.next_round()

    def undrain(self, who: Requester) -> ChangeView:
        self._changes.hold([EVERY_APP])
        self._assert_in_force("undrain")
        back = self._intent.drained_apps or frozenset()
        self._intent.leave_to_others(None)

        async def work(change: Change) -> None:
            await self._convergence.apps(change, back & self._intent.desired.apps.keys())

        return self._begin("undrain", who, work)

    def _assert_in_force(self, verb: str) -> None:
        if not self._intent.revisions:
            raise Refused(
                f"cannot {verb} {self.machine}: no file is in force on it; nothing was changed. "
                "`portico up` starts its apps"
            )

    def _begin(
        self, kind: str, who: Requester, work: Callable[[Change], Awaitable[None]]
    ) -> ChangeView:
        machine = self.machine
        self._events.note_request(kind, machine, who)
        self._loop.wake()
        return self._changes.begin(kind, machine, [EVERY_APP], work)
