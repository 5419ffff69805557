"""The health checks of instances that are ready, or were."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from portico.core.model.check import Check
from portico.core.model.instance import PROVEN_STATES, Instance, InstanceState, Process
from portico.core.model.launch import Launch
from portico.core.model.names import InstanceId
from portico.core.planning.health import OVERDUE_TIME, after_probe, pace
from portico.core.planning.lateness import must_answer
from portico.engine.batches import LoopShare, in_batches
from portico.engine.engine import Engine
from portico.engine.instances.ownership import Ownership
from portico.engine.tasks import Task
from portico.ports.processes import Probes, Processes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Watcher:
    task: Task
    check: Check


class Liveness:
    def __init__(
        self, engine: Engine, ownership: Ownership, *, probes: Probes, processes: Processes
    ) -> None:
        self._observed, self._intent, self._tasks = engine.observed, engine.intent, engine.tasks
        self._clock, self._wake, self._safe_mode = engine.clock, engine.loop.wake, engine.safe_mode
        self._ownership, self._probes, self._processes = ownership, probes, processes
        self._results: list[tuple[InstanceId, Process | None, str | None]] = []
        self._loop_share = LoopShare()
        self._watchers: dict[tuple[InstanceId, Process | None], _Watcher] = {}

    async def watch(self) -> None:
        """Probe all that are to be probed, as often as the file says now, and no others."""
        wanted = {
            (i.id, i.process): self._intent.app_of(i).check
            for i in self._observed.instances.values()
            if i.state in PROVEN_STATES and self.can_probe(i) and self._must_answer(i)
        }
        ended = [seen for seen, each in self._watchers.items() if wanted.get(seen) != each.check]
        async for watched in in_batches(ended):
            self._watchers.pop(watched).task.cancel()
        async for watched in in_batches(wanted.keys() - self._watchers.keys()):
            check = wanted[watched]
            work, name = partial(self._watch, *watched, check), watched[0]
            task = self._tasks.start(f"checks of {name}", work, of=name)
            self._watchers[watched] = _Watcher(task, check)

    def _must_answer(self, i: Instance) -> bool:
        return must_answer(self._intent.app_of(i), reached=self._intent.is_reached(i.app))

    def can_probe(self, i: Instance) -> bool:
        """Whether it has a port or a check command; in safe mode nothing is probed."""
        if self._safe_mode.is_on:
            return False
        return i.port != 0 or self._intent.app_of(i).check.command is not None

    async def probe(self, i: Instance) -> str | None:
        """One probe: None when it is well, else what was wrong.

        A probe that ends in an internal error has failed: it does not show that all is well.
        """
        with self._tasks.fence(f"check of {i.id}", of=i.id):
            return await self._probe_owned(i)
        return "internal error in the probe (a bug in portico); details in porticod.log"

    async def _probe_owned(self, i: Instance) -> str | None:
        """Before it gets requests, or gets them again, it has to be the one that answered."""
        check = self._intent.app_of(i).check
        trouble = await self._probe_once(i, check)
        if trouble is not None or not i.port or i.state is InstanceState.READY:
            return trouble
        return await self._ownership.trouble(i, silence=check.command is None)

    async def _probe_once(self, i: Instance, check: Check) -> str | None:
        if check.command is None:
            return await self._probes.probe(check, i.port)
        launch = Launch(i.id, self._intent.versions.spec(i.spec), i.slot, i.port)
        return await self._processes.run_check(launch, check)

    def apply_events(self) -> None:
        """Apply what the probes have found since the last round."""
        results, self._results = self._results, []
        for instance, process, trouble in results:
            if (i := self._checked_instance(instance, process)) is None:
                continue
            with self._tasks.fence(f"verdict on {i.id}", of=i.id):
                self._apply(i, trouble)

    def _apply(self, i: Instance, trouble: str | None) -> None:
        after = self._after_probe(i, trouble)
        if after != i:
            self._observed.put(after)
        if after.state is not i.state:
            level = logging.INFO if after.state is InstanceState.READY else logging.WARNING
            log.log(level, "%s %s: %s", i.id, after.state, after.reason or "its check passes")

    async def _watch(self, instance: InstanceId, process: Process | None, check: Check) -> None:
        """Begin a probe after each interval, whether or not the last one has ended.

        The first one begins at a random moment of its interval, so that instances that were
        started together are not probed together.
        """
        await self._clock.sleep(self._clock.jitter() * pace(check, overdue=False))
        timeout = OVERDUE_TIME if check.limit > OVERDUE_TIME else 0.0
        work = partial(self._probe_and_report, instance, process)
        while self._checked_instance(instance, process) is not None:
            begun = self._clock.monotonic()
            await self._loop_share.wait()  # on a busy machine hundreds may be due by now
            probe = self._tasks.start(f"probe of {instance}", work, of=instance)
            # Most end at once: then a timer has not to wake the loop for them.
            overdue = not await self._tasks.ends_within(probe, timeout)
            waited = self._clock.monotonic() - begun
            await self._clock.sleep(pace(check, overdue=overdue) - waited)

    async def _probe_and_report(self, instance: InstanceId, process: Process | None) -> None:
        if (i := self._checked_instance(instance, process)) is None:
            return
        trouble = await self.probe(i)
        i = self._checked_instance(instance, process)
        if i is not None and (self._results or self._after_probe(i, trouble) != i):
            self._results.append((instance, process, trouble))
            self._wake()

    def _after_probe(self, i: Instance, trouble: str | None) -> Instance:
        check = self._intent.app_of(i).check
        return after_probe(i, trouble, check, now=self._clock.monotonic())

    def _checked_instance(self, instance: InstanceId, process: Process | None) -> Instance | None:
        i = self._observed.instances.get(instance)
        return i if i and i.process == process and i.state in PROVEN_STATES else None
