"""Instances as they live: spawned, watched until ready, and understood when they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from portico.core.model.desired import Spec
from portico.core.model.instance import (
    LEAVING_STATES,
    LIVE_STATES,
    STARTABLE_STATES,
    Exit,
    Instance,
    InstanceState,
    Process,
)
from portico.core.model.launch import Launch
from portico.core.model.names import InstanceId
from portico.core.planning.lateness import is_late, run_time_until_ready
from portico.core.planning.lifecycle import (
    after_adoption,
    after_exit,
    after_interruption,
    after_spawn,
)
from portico.core.planning.own_port import OwnPortSearch
from portico.core.planning.reasons import explain, explain_end, explain_listening, without_stamps
from portico.engine.engine import Engine
from portico.engine.instances.liveness import Liveness
from portico.engine.instances.ownership import Ownership
from portico.engine.instances.readiness import ProcessKey, Readiness
from portico.engine.program_ports import ProgramPorts
from portico.errors import Failed

log = logging.getLogger(__name__)

FIRST_PROBE_DELAY: Final = 0.05  # seconds after the start; then half as much again, to the limit
MAX_PROBE_DELAY: Final = 0.5
LAST_PROBE_MARGIN: Final = 0.05
"""Seconds before its time is up."""
OUTPUT_TAIL_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class OutputTail:
    instance: InstanceId
    lines: tuple[str, ...]
    read_at: float
    """On the monotonic clock."""


class Supervision:
    def __init__(
        self,
        engine: Engine,
        liveness: Liveness,
        ownership: Ownership,
        readiness: Readiness,
        programs: ProgramPorts,
    ) -> None:
        self._observed, self._intent, self._tasks = engine.observed, engine.intent, engine.tasks
        self._events = engine.events
        self._clock, self._wake = engine.clock, engine.loop.wake
        self._liveness, self._ownership, self._readiness = liveness, ownership, readiness
        self._logs, self._ports = programs.logs, programs.ports
        self._processes = programs.processes
        self._ended: list[tuple[InstanceId, Exit]] = []
        self._probe_failures: dict[ProcessKey, str] = {}
        """What the last probe of an instance that is starting has found wrong."""
        self.output_tails: dict[str, OutputTail] = {}
        """By app: the end of the output of its instance that ended badly last."""

    async def adopt(self) -> None:
        """Take over what an earlier daemon left running."""
        lost: list[Instance] = []
        for instance in list(self._observed.instances.values()):
            if instance.state not in LIVE_STATES | STARTABLE_STATES:
                continue
            with self._tasks.fence(f"adoption of {instance.id}", of=instance.id):
                if not await self._adopt(instance):
                    lost.append(instance)
        found: Mapping[InstanceId, Process] = {}
        with self._tasks.fence("search for instances"):
            found = await self._processes.find([(self._launch(i), i.since) for i in lost])
        processes: list[tuple[Launch, Process | None]] = []
        for instance in lost:
            with self._tasks.fence(f"search for {instance.id}", of=instance.id):
                process = await self._find_again(instance, found.get(instance.id))
                processes.append((self._launch(instance), process))
        with self._tasks.fence("cleanup of leftover processes"):
            await self._processes.end_orphans(processes)
        await self.apply_events()

    async def _adopt(self, i: Instance) -> bool:
        """Whether the process on record still runs."""
        if i.process is None or not await self._takes_over(i, i.process):
            return False
        if i.state is InstanceState.STARTING:
            self._observed.put(after_adoption(i, now=self._clock.monotonic()))
            self._start_probing(i)
        return True

    async def _takes_over(self, i: Instance, process: Process) -> bool:
        return await self._processes.adopt(self._launch(i), process, self._on_exit(i.id))

    def _launch(self, i: Instance) -> Launch:
        return Launch(i.id, self._intent.versions.spec(i.spec), i.slot, i.port)

    async def _find_again(self, i: Instance, process: Process | None) -> Process | None:
        """One that has no process on record, or one that has ended; returns who takes its place.

        The daemon before may have died between a start and its record, so what it started is
        looked for. And where nobody saw the end of a start it is held against nobody: a crash
        will be seen the next time. Only what is to run once does not run twice.
        """
        starting = i.state in STARTABLE_STATES | {InstanceState.STARTING}
        if process and starting and await self._takes_over(i, process):
            now = self._clock.monotonic()
            self._observed.put(after_spawn(replace(i, process=None), process, now=now))
            self._start_probing(i)
            return process
        again = not i.is_run and (i.process is None or self._intent.app_of(i).comes_back)
        if i.state is InstanceState.STARTING and again:
            self._observed.put(after_interruption(i, now=self._clock.monotonic()))
        elif i.state in LIVE_STATES:
            self._ended.append((i.id, Exit()))
        return None

    async def spawn(self, instance: Instance, spec: Spec) -> None:
        """Start its process; a failure to start is one way to end."""
        launch = Launch(instance.id, spec, instance.slot, instance.port)
        self._logs.begin(spec, instance.slot)
        try:
            process = await self._processes.spawn(launch, self._on_exit(instance.id))
        except Failed as error:
            self._record_exit(instance, Exit(), str(error))
            return
        self._observed.put(after_spawn(instance, process, now=self._clock.monotonic()))
        self._start_probing(instance)

    async def apply_events(self) -> None:
        """Apply what has happened to instances since the last round. What has ended gets no more
        requests from then on; why it has ended, its output may have to say, and that comes later.
        """
        self._ownership.apply_events()
        self._liveness.apply_events()
        ended, self._ended = self._ended, []
        self._observed.withdraw_instances({name for name, _ in ended})
        with self._tasks.fence("status reports of programs"):
            self._readiness.apply_events()
        for name, ending in ended:
            await asyncio.sleep(0)  # a thousand may have ended at once
            if instance := self._observed.instances.get(name):
                reason = str(ending)
                with self._tasks.fence(f"reason of the exit of {name}", of=name):
                    instance = await self._with_port_holder(instance)
                    reason = await self._reason(instance, ending)
                self._record_exit(instance, ending, reason)
        await asyncio.sleep(0)
        await self._liveness.watch()

    async def _with_port_holder(self, i: Instance) -> Instance:
        """With `taken` set if it ended before it was ready and another process has its port: of
        what it has started nothing is left.
        """
        if i.state is not InstanceState.STARTING or not i.port or i.taken:
            return i
        holder = await self._ports.holder(i.port)
        return replace(i, taken=holder is not None)

    def _start_probing(self, i: Instance) -> None:
        self._tasks.start(f"start of {i.id}", partial(self._probe_until_ready, i.id), of=i.id)

    def _on_exit(self, instance: InstanceId) -> Callable[[Exit], None]:
        def note(ending: Exit) -> None:
            self._ended.append((instance, ending))
            self._wake()

        return note

    def _record_exit(self, i: Instance, ending: Exit, reason: str) -> None:
        app = self._intent.app_of(i)
        after = after_exit(
            i,
            ending,
            app,
            now=self._clock.monotonic(),
            jitter=self._clock.jitter(),
            reason=reason,
        )
        tail = self.output_tails.get(i.app)
        self._observed.put(after, tail.lines if tail and tail.instance == i.id else ())
        if after.state is not InstanceState.GONE:
            self._events.note("exit", i.id, reason)
        good = after.state is InstanceState.GONE or ending.code == 0
        log.log(
            logging.INFO if good else logging.WARNING,
            "%s %s: %s",
            i.id,
            after.state,
            reason,
        )

    async def _probe_until_ready(self, instance: InstanceId) -> None:
        """Probe a starting instance until it is well, or is no longer starting.

        A worker, which listens nowhere, is well when it has lived for `min_uptime`, or at once
        if it says by itself when it is ready.
        """
        i, good = self._observed.instances[instance], 0
        process = i.process
        can_probe = self._liveness.can_probe(i)
        pause, search = FIRST_PROBE_DELAY, OwnPortSearch()
        if not can_probe:
            notifies = self._readiness.requires_notice(i)
            pause = 0.0 if notifies else run_time_until_ready(self._intent.app_of(i))
        while True:
            await self._clock.sleep(pause)
            now = self._observed.instances.get(instance)
            if now is None or now.state is not InstanceState.STARTING or now.process != process:
                self._probe_failures.pop((instance, process), None)
                return
            trouble = await self._liveness.probe(now) if can_probe else None
            good = good + 1 if trouble is None else 0
            rise = self._intent.app_of(now).check.rise
            if (good and (good >= rise or not can_probe)) or self._may_be_silent(now):
                self._probe_failures.pop((instance, process), None)
                self._readiness.check_passed(now)
                self._wake()
                return
            trouble = trouble or f"its check passed {good} of {rise} times"
            is_new = self._probe_failures.get((instance, process)) != trouble
            self._probe_failures[instance, process] = trouble
            if can_probe:
                with self._tasks.fence(f"port of {i.id}", of=i.id):
                    await self._find_port(now, search)
                with self._tasks.fence(f"check of where {i.id} listens", of=i.id):
                    await self._note_listening(now, trouble, is_new=is_new)
            pause = self._next_pause(now, pause)

    def _next_pause(self, i: Instance, pause: float) -> float:
        """The last probe in its time is right before the end, so that what is said then is so."""
        longer = min(pause * 1.5, MAX_PROBE_DELAY)
        left = self._time_left(i) - LAST_PROBE_MARGIN
        return left if LAST_PROBE_MARGIN < left < longer else longer

    def _time_left(self, i: Instance) -> float:
        """Seconds until its `ready_timeout` is over; negative after that."""
        return self._intent.app_of(i).ready_timeout - (self._clock.monotonic() - i.since)

    def waits_for(self, i: Instance) -> str:
        """What is still wrong with one that is starting; empty if nothing is known."""
        return self._probe_failures.get((i.id, i.process)) or self._readiness.status_text(i)

    def _may_be_silent(self, i: Instance) -> bool:
        """Whether its time is up, it is to continue, and no site would send it requests."""
        late = is_late(i, self._intent.app_of(i), self._clock.monotonic())
        return late and not self._intent.is_reached(i.app)

    async def _find_port(self, i: Instance, search: OwnPortSearch) -> None:
        """With `find_port`, where it listens is its port from then on."""
        if not self._intent.app_of(i).find_port or i.taken or i.process is None:
            return
        listening = await self._ports.listening_ports(i.process)
        port = search.settled_port(listening, i.port, self._clock.monotonic())
        now = self._observed.instances.get(i.id)
        if port and now is not None and now.state is InstanceState.STARTING:
            why = f"it listens on {port} instead of {i.port}; requests are sent there"
            self._observed.put(replace(now, port=port, own_port=True))
            self._events.note("port", i.id, why)
            log.info("%s: %s", i.id, why)

    async def _note_listening(self, i: Instance, trouble: str, *, is_new: bool) -> None:
        """Near the end of `ready_timeout`, find out where it listens: afterwards it is too late.
        Where it continues after that, again when another thing is wrong with it.

        What is found is the instance's reason from then on, also when it is killed for it.
        """
        limit, left = self._intent.app_of(i).ready_timeout, self._time_left(i)
        is_near_the_end = abs(left) <= 2 * MAX_PROBE_DELAY
        if i.taken or i.process is None or not (is_near_the_end or (left < 0 and is_new)):
            return
        reason = f"was not ready within {limit:g}s: {trouble}"
        if i.port:
            listening = await self._ports.listening_ports(i.process)
            reason = explain_listening(
                i.port, listening, trouble, limit, port_env=self._intent.app_of(i).port_env
            )
        now = self._observed.instances.get(i.id)
        if now is not None and now.state is InstanceState.STARTING:
            self._observed.put(replace(now, reason=reason))
            await self._read_output_tail(now)

    async def _reason(self, i: Instance, ending: Exit) -> str:
        if i.state in LEAVING_STATES:
            return i.reason
        app, uptime = self._intent.app_of(i), self._clock.monotonic() - i.spawned
        if i.is_run and i.reason:
            return i.reason  # it was interrupted
        if not app.comes_back and (done := explain_end(ending, uptime)):
            return done
        lines = await self._read_output_tail(i)
        if i.state in {InstanceState.STARTING, InstanceState.RESTARTING} and i.reason:
            return i.reason  # it was ended for never being ready, or for failing its check
        spec = self._intent.versions.spec(i.spec)
        return explain(
            ending,
            without_stamps(lines, spec.app.logs.timestamp),
            port=i.port,
            port_env=spec.app.port_env,
            uptime=uptime,
            holder=await self._ports.holder(i.port) if i.port else None,
        )

    async def _read_output_tail(self, i: Instance) -> list[str]:
        """The end of its output, kept for the status of its app and for failed changes."""
        spec = self._intent.versions.spec(i.spec)
        lines = await self._logs.last_lines(spec, i.slot, OUTPUT_TAIL_LINES)
        known = self._intent.versions.records
        tails = {app: tail for app, tail in self.output_tails.items() if app in known}
        tail = OutputTail(i.id, tuple(lines), self._clock.monotonic())
        self.output_tails = {**tails, i.app: tail}
        return lines
