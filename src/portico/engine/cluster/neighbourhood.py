"""The other machines: what they say is ready there, who of them answers, and what they may know.

Runs beside the loop. The loop's plan decides by `cluster`, and announces by `announce`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping

from portico.core.model.neighbour import Cluster, NearList, Neighbour
from portico.core.model.views import NeighbourView
from portico.core.planning.neighbours import (
    Refusal,
    apps_elsewhere,
    are_known,
    departure_wait,
    interval,
    missing_elsewhere,
    near_text,
    neighbours_of,
    read_near,
    with_answers,
    without_first_failures,
)
from portico.engine.engine import Engine
from portico.errors import Failed, Rejected
from portico.ports.neighbours import Neighbours

log = logging.getLogger(__name__)


class Neighbourhood:
    def __init__(self, engine: Engine, machine: str, port: Neighbours) -> None:
        """`machine` is the own name."""
        self._engine, self._clock = engine, engine.clock
        self.machine, self.port = machine, port
        self.has_store = False
        """Whether they keep in a store what they share."""
        self.absent: Callable[[], Collection[str]] = tuple
        """The machines that the store does not hear of; none where there is no store."""
        self.newcomers: Callable[[], Collection[str]] = tuple
        """Those on which no file was put in force yet; none where there is no store."""
        self.may_replace: Callable[[], bool] = lambda: True
        """As in `Cluster`."""
        self._neighbours: Mapping[str, Neighbour] = {}
        self._answers: dict[str, tuple[bytes, NearList]] = {}
        """By machine, the last answer and what it says: most are the same as the one before."""
        self._announced: NearList | None = None
        self._withdrawn: dict[str, float] = {}
        self._silent_since: dict[str, float] = {}
        """By machine, wall time of the first question in a row that it did not answer."""
        self._first_announced = self._next_at = 0.0
        self._departure_wait = departure_wait(1)
        """As long as the other machines are not known: an earlier daemon may have known them."""

    def cluster(self) -> Cluster:
        return Cluster(
            self.machine,
            self._neighbours,
            self._announced,
            dict(self._withdrawn),
            self._first_announced,
            self._departure_wait,
            may_replace=self.may_replace(),
        )

    async def announce(self, near: NearList) -> None:
        """Raises Failed where it cannot be written; others then get an empty list."""
        try:
            await self.port.announce(near_text(near), drained=near.leaving)
        except Failed:
            self._note_announced(NearList(self.machine, leaving=True))
            raise
        self._note_announced(near)

    def _note_announced(self, near: NearList) -> None:
        now = self._clock.monotonic()
        before = self._announced
        if before is None:
            self._first_announced = now
        elif gone := before.apps.keys() - near.apps.keys():
            self._withdrawn |= dict.fromkeys(gone, now)
        self._withdrawn = {n: at for n, at in self._withdrawn.items() if n not in near.apps}
        self._announced = near

    async def look(self) -> None:
        """Ask all of them once."""
        begun = self._clock.monotonic()
        desired = self._engine.intent.desired
        others = desired.other_machines
        self._next_at = begun + interval(len(others))
        if desired.machines:  # with no file in force, others may still send requests
            self._departure_wait = departure_wait(len(others))
        before = neighbours_of(others, self._neighbours)
        answers = await asyncio.gather(*(self._ask(name, len(others)) for name in before))
        can_ask = self._engine.observed.now().nginx.pid is not None  # it is by nginx that it asks
        absent = self.absent() if can_ask else ()
        after = with_answers(before, dict(zip(before, answers, strict=True)), absent)
        if not can_ask:
            after = without_first_failures(before, after)
        self._note_verdicts(before, after)
        self._note_silence(after)
        left, is_other = self._engine.intent.drained_apps, after != self._neighbours
        self._neighbours = after
        self._leave_apps_to_others()
        if is_other or left != self._engine.intent.drained_apps:
            self._engine.loop.wake()

    async def pause(self) -> None:
        await self._clock.sleep(max(0.0, self._next_at - self._clock.monotonic()))

    async def _ask(self, name: str, count: int) -> NearList | str:
        try:
            async with asyncio.timeout(interval(count)):
                text = await self.port.ask(name)
            return self._parse(name, text)
        except TimeoutError:
            return "it does not answer in time"
        except (Rejected, ValueError) as error:
            return Refusal(error)
        except Failed as error:
            return str(error)

    def _parse(self, name: str, text: bytes) -> NearList:
        known = self._answers.get(name)
        if known is None or known[0] != text:
            known = text, read_near(text, name) if text else NearList(name)
            self._answers[name] = known
        return known[1]

    def _note_verdicts(
        self, before: Mapping[str, Neighbour], after: Mapping[str, Neighbour]
    ) -> None:
        for name, now in after.items():
            if before[name].is_out is now.is_out:
                continue
            text = f"gets no requests: {now.reason}" if now.is_out else "gets requests again"
            self._engine.events.note("machine", name, text)
            log.log(logging.WARNING if now.is_out else logging.INFO, "machine %s %s", name, text)

    def _note_silence(self, after: Mapping[str, Neighbour]) -> None:
        now, before = self._clock.now(), self._silent_since
        self._silent_since = {
            name: before.get(name, now) for name, each in after.items() if each.failures
        }

    def is_known(self) -> bool:
        """Whether any of them has answered, and the others have, or did not in time."""
        return are_known(self._neighbours)

    # Drained

    def drained_machines(self) -> frozenset[str]:
        """The machines that are; one that does not answer was so when it answered last."""
        own = [self.machine] * (self._engine.intent.drained_apps is not None)
        others = (n for n, each in self._neighbours.items() if each.leaving and not each.down)
        return frozenset([*own, *others])

    def down_machines(self) -> frozenset[str]:
        """The machines on which no file is in force, in the same way."""
        own = [self.machine] * bool(self._announced and self._announced.down)
        return frozenset([*own, *(n for n, each in self._neighbours.items() if each.down)])

    def apps_to_leave(self) -> frozenset[str]:
        """The apps of this machine that others are ready for; with the part of this machine where
        they have a `total`, until it has left them once.
        """
        apps = self._engine.intent.desired.apps.keys()
        return (apps_elsewhere(self._neighbours) & apps) - self.apps_not_taken()

    def apps_not_taken(self) -> frozenset[str]:
        """The apps that run here and of whose `total` others do not run the part of this machine
        yet.
        """
        return frozenset(
            name
            for name, app in self._engine.intent.desired.apps.items()
            if app.instances
            and not app.stopped
            and missing_elsewhere(name, app.elsewhere, self._neighbours) > 0
        )

    def apps_elsewhere(self) -> frozenset[str]:
        """The apps that any machine has ready that is not drained."""
        return apps_elsewhere(self._neighbours)

    def _leave_apps_to_others(self) -> None:
        """While it is drained: what no other machine has ready any more runs here again."""
        intent = self._engine.intent
        if intent.drained_apps is not None and (self.is_known() or not self._neighbours):
            intent.leave_to_others(self.apps_to_leave())

    # What operators see

    def views(self) -> tuple[NeighbourView, ...]:
        return tuple(
            NeighbourView(
                name=each.name,
                address=each.address,
                reached=each.has_answered and not each.failures,
                used=each.has_answered and not each.is_out,
                drained=each.leaving and not each.down,
                down=each.down,
                reason=each.reason,
                since=self._silent_since.get(each.name),
                apps=each.apps,
            )
            for each in self._neighbours.values()
        )
