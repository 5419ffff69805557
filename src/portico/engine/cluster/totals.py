"""The `total` of an app while machines are drained: the others run their part of it. A machine
that has joined counts as one that was drained, until it has its part ready.

Each machine goes by the lists of the others, and none waits for a turn: nothing is replaced by
another version. A machine that is drained keeps its part until the others have it ready, and they
keep it until that machine has it ready again.
"""

from __future__ import annotations

from portico.core.config.placement import ready_parts
from portico.core.planning.neighbours import SHORT_INTERVAL, drained_machines
from portico.engine.cluster.neighbourhood import Neighbourhood
from portico.engine.engine import Engine
from portico.engine.in_force import InForce


class Totals:
    def __init__(self, engine: Engine, in_force: InForce, neighbourhood: Neighbourhood) -> None:
        self._intent, self._clock = engine.intent, engine.clock
        self._in_force, self._neighbourhood = in_force, neighbourhood

    async def look(self) -> None:
        if (drained := self._drained_machines()) != self._intent.drained_machines:
            await self._in_force.set_drained_machines(drained)

    async def pause(self) -> None:
        await self._clock.sleep(SHORT_INTERVAL)

    def _drained_machines(self) -> frozenset[str]:
        """Empty where no app has a `total`. Machines that joined at the same time do not know by
        their lists of each other which of them are used: those without a daemon have none.
        """
        desired, before = self._intent.desired, self._intent.drained_machines
        if not desired.totals:
            return frozenset()
        before |= desired.other_machines.keys() & {*self._neighbourhood.newcomers()}
        known = self._neighbourhood.cluster()
        if not known.neighbours:  # none was asked yet
            return before
        kept = (before & desired.other_machines.keys()) - known.neighbours.keys()  # not asked yet
        if desired.drained:
            kept |= {known.machine}
        return kept | drained_machines(
            before, known.neighbours, lambda drained: ready_parts(desired, drained | kept)
        )
