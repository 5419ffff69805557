"""Whether an instance itself listens on its port: if not, it gets no requests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Final

from portico.core.model.instance import PROVEN_STATES, Instance, InstanceState, Process
from portico.core.model.names import InstanceId
from portico.core.model.port_owner import Owner, PortAnswer
from portico.core.planning.lateness import must_answer
from portico.core.planning.lifecycle import with_own_port, with_port_taken
from portico.core.planning.ownership import no_listener_text, passed_on_text, port_taken_text
from portico.engine.intent import Intent
from portico.engine.observed import ObservedWorld
from portico.ports.clock import Clock
from portico.ports.processes import Processes

log = logging.getLogger(__name__)

LOOK_INTERVAL: Final = 1.0
"""Seconds between two looks at all ports. nginx asks where instances are as often."""
OWNERSHIP_STATES: Final = PROVEN_STATES | {InstanceState.STARTING}


class Ownership:
    def __init__(
        self,
        observed: ObservedWorld,
        intent: Intent,
        wake: Callable[[], None],
        *,
        clock: Clock,
        processes: Processes,
    ) -> None:
        self._observed, self._intent, self._wake = observed, intent, wake
        self._clock, self._processes = clock, processes
        self._seen: dict[tuple[InstanceId, Process | None], PortAnswer] = {}
        """By instance and process: what listened on its port at the last look."""

    async def look(self) -> None:
        """Look at all ports at once."""
        await self._look(*self._instances_with_port())

    async def pause(self) -> None:
        await self._clock.sleep(LOOK_INTERVAL)

    async def trouble(self, i: Instance, *, silence: bool) -> str | None:
        """Why an answer on its port would not be its own, as of now; None if it is.

        With `silence`, a port that nothing listens on is a trouble too.
        """
        (found,) = await self._look(i)
        if found.owner is Owner.STRANGER:
            return port_taken_text(i.port, found.holder)
        return no_listener_text(i.port) if silence and found.owner is Owner.NOBODY else None

    def notes(self) -> Iterator[tuple[InstanceId, str]]:
        """For the status: that another process passes requests on to an instance."""
        for (name, process), found in self._seen.items():
            if found.owner is Owner.ROOT:
                i = self._observed.instances.get(name)
                if i and i.process == process and i.state in OWNERSHIP_STATES:
                    yield name, passed_on_text(i.port, found.holder)

    def apply_events(self) -> None:
        """Apply what was seen since the last round."""
        known = {(i.id, i.process): i for i in self._instances_with_port()}
        self._seen = {seen: found for seen, found in self._seen.items() if seen in known}
        for seen, found in self._seen.items():
            if after := self._change(known[seen], found):
                self._observed.put(after)
                log.warning("%s: %s", after.id, after.reason or "it holds its port again")

    async def _look(self, *asked: Instance) -> list[PortAnswer]:
        processes_and_ports = [(i.process, i.port) for i in asked if i.process is not None]
        answers = await self._processes.port_answers(processes_and_ports)
        for i, found in zip(asked, answers, strict=True):
            self._seen[i.id, i.process] = found
            now = self._observed.instances.get(i.id)
            if now is None or now.process != i.process:
                continue
            if self._change(now, found):
                self._wake()
        return answers

    def _change(self, i: Instance, found: PortAnswer) -> Instance | None:
        """The instance after such an answer; None if that changes nothing."""
        if found.owner is Owner.STRANGER and self._must_answer(i):
            after = with_port_taken(
                i, port_taken_text(i.port, found.holder), now=self._clock.monotonic()
            )
        else:
            after = with_own_port(i)
        return None if after is i or after == i else after

    def _must_answer(self, i: Instance) -> bool:
        return must_answer(self._intent.app_of(i), reached=self._intent.is_reached(i.app))

    def _instances_with_port(self) -> list[Instance]:
        return [
            i
            for i in self._observed.instances.values()
            if i.port and i.process is not None and i.state in OWNERSHIP_STATES
        ]
