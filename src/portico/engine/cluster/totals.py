"""The `total` of an app while machines are drained: the others run their part of it. A machine
that has joined counts as one that was drained, until it has its part ready.

Each machine goes by the lists of the others, and none waits for a turn: nothing is replaced by
another version. A machine that is drained keeps its part until the others have it ready, and they
keep it until that machine has it ready again. Machines that return at the same time get smaller
parts than each gets while the others are drained.
"""

from __future__ import annotations

from collections.abc import Mapping

from portico.core.planning.neighbours import SHORT_INTERVAL, drained_machines
from portico.engine.cluster.neighbourhood import Neighbourhood
from portico.engine.engine import Engine
from portico.engine.in_force import InForce


class Totals:
    def __init__(self, engine: Engine, in_force: InForce, neighbourhood: Neighbourhood) -> None:
        self._intent, self._clock = engine.intent, engine.clock
        self._in_force, self._neighbourhood = in_force, neighbourhood

    async def look(self) -> None:
        if (drained := self._drained()) != self._intent.drained_machines:
            await self._in_force.set_drained_machines(drained)

    async def pause(self) -> None:
        await self._clock.sleep(SHORT_INTERVAL)

    def _drained(self) -> frozenset[str]:
        """Empty where no app has a `total`."""
        desired, before = self._intent.desired, self._intent.drained_machines
        if not any(app.app.total for app in desired.apps.values()):
            return frozenset()
        known = self._neighbourhood.cluster()
        if not known.neighbours:  # none was asked yet
            return before
        unasked = (before & desired.other_machines.keys()) - known.neighbours.keys()
        others = unasked | drained_machines(
            before, known.neighbours, self._awaited(desired.returning)
        )
        if self._intent.drained_apps is not None:
            return others | {known.machine}
        together = self._awaited(desired.returning_together)
        is_awaited = unasked or drained_machines(before, known.neighbours, together)
        return others if is_awaited else frozenset()

    def _awaited(
        self, returning: Mapping[str, Mapping[str, int]]
    ) -> Mapping[str, Mapping[str, int]]:
        """Without the apps that are stopped."""
        apps = self._intent.desired.apps
        return {
            machine: {app: count for app, count in awaited.items() if not apps[app].stopped}
            for machine, awaited in returning.items()
        }
