"""Perform one step. Every kind of step is here, and nothing else changes the world."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import assert_never

from portico.core.model.desired import Spec
from portico.core.model.instance import Instance, InstanceEvent, InstanceState
from portico.core.model.names import InstanceId
from portico.core.model.neighbour import NearList
from portico.core.planning.lifecycle import after_kill, move
from portico.core.planning.steps import (
    Announce,
    Complete,
    Drain,
    DropApp,
    Forget,
    Interrupt,
    Kill,
    Publish,
    PublishFar,
    Recycle,
    Respawn,
    Restart,
    Revert,
    SkipRun,
    StartInstance,
    StartNginx,
    Step,
    Stop,
    StopNginx,
    SwitchGeneration,
    UpgradeNginx,
)
from portico.engine.engine import Engine
from portico.engine.program_ports import ProgramPorts
from portico.errors import PorticoError

log = logging.getLogger(__name__)


class Executor:
    def __init__(
        self,
        engine: Engine,
        spawn: Callable[[Instance, Spec], Awaitable[None]],
        programs: ProgramPorts,
        announce: Callable[[NearList], Awaitable[None]] | None = None,
    ) -> None:
        """`announce` is None on a machine that is in no cluster: no plan has such a step."""
        self._announce = announce or _in_no_cluster
        self._observed, self._intent, self._spawn = engine.observed, engine.intent, spawn
        self._events = engine.events
        self._troubles, self._tasks, self._wake = engine.troubles, engine.tasks, engine.loop.wake
        self._clock, self._nginx = engine.clock, programs.nginx
        self._ports, self._processes = programs.ports, programs.processes
        self._reserved: dict[tuple[str, int], Instance] = {}
        """By app and slot: those that the round is about to start."""

    async def __call__(self, step: Step) -> None:  # noqa: C901, PLR0912, PLR0915 - one case a kind
        log.info("%s: %s", step, step.why)
        match step:
            case StartInstance(app, slot):
                await self._start(app, slot)
            case Respawn(instance):
                await self._respawn(self._observed.instances[instance])
            case Restart(instance, why):
                self._restart(self._observed.instances[instance], why)
            case Publish(app, endpoints):
                self._observed.publish(app, endpoints)
            case PublishFar(app, machines):
                self._observed.publish_far(app, machines)
            case Announce(near):
                await self._announce(near)
            case Drain(instance, why):
                self._move(instance, InstanceEvent.DRAIN_ASKED, why)
            case Recycle(instance, why):
                self._observed.put(replace(self._observed.instances[instance], worn=why))
                self._intent.acknowledge_replacement(instance)
                self._events.note("replace", instance, why)
            case SkipRun(app, why):
                self._events.note("skip", app, why)
            case Interrupt(instance, why):
                self._interrupt(self._observed.instances[instance], why)
            case Stop(instance, why):
                self._stop(self._observed.instances[instance], why)
            case Kill(instance, why):
                self._kill(self._observed.instances[instance], why)
            case Forget(instance):
                self._forget(self._observed.instances[instance])
            case Revert(app, why):
                self._intent.revert(app, why)
                self._events.note("revert", app, why)
            case Complete(app, why):
                self._complete(app, why)
            case DropApp(app):
                self._observed.withdraw(app)
                self._intent.drop(app)
                self._troubles.resolve_all_of(app)
            case SwitchGeneration(fingerprint):
                self._in_background(step, self._switch(fingerprint))
            case StartNginx(why):
                self._events.note("nginx", "nginx", why)
                self._in_background(step, self._nginx.start())
            case UpgradeNginx(why):
                self._events.note("upgrade", "nginx", why)
                self._in_background(step, self._upgrade())
            case StopNginx(graceful):
                self._observed.mark_nginx_leaving()
                self._in_background(step, self._stop_nginx(graceful=graceful))
            case _:
                assert_never(step)
        if not self._observed.nginx_busy:
            self._troubles.resolve(str(step))

    def _complete(self, app: str, why: str) -> None:
        self._intent.complete(app)
        self._events.note("ready", app, why)

    def _forget(self, instance: Instance) -> None:
        self._observed.forget(instance.id)
        self._troubles.resolve_all_of(instance.id)
        self._intent.acknowledge_replacement(instance.id)
        left = self._observed.instances.values()
        if all(i.spec != instance.spec for i in left):
            self._intent.versions.keep(i.spec for i in left)

    def _in_background(self, step: Step, work: Awaitable[None]) -> None:
        """Beside the loop: nginx may take seconds, and no instance has to wait for it."""
        self._observed.nginx_busy = True
        self._tasks.start(str(step), partial(self._run_nginx_step, step, work))

    async def _run_nginx_step(self, step: Step, work: Awaitable[None]) -> None:
        try:
            await work
        except PorticoError as error:  # the next round that time asks for tries again
            self._troubles.report(str(step), str(error))
        else:
            self._troubles.resolve(str(step))
            self._wake()
        finally:
            self._observed.nginx_busy = False

    async def reserve(self, steps: Sequence[StartInstance]) -> None:
        """Give all that are to be started their ports, numbers and records, in one write.

        Where a round ends before it comes to one of them, the next one finds it without a
        process. Raises Failed; then there are none.
        """
        taken = self._taken_ports()
        places: list[tuple[str, Callable[[int], Instance]]] = []
        for step in steps:
            spec = self._intent.versions.target(step.app)
            port = step.port or (await self._ports.free(taken) if spec.app.listens else 0)
            taken |= {port}
            now = self._clock.monotonic()
            places.append((step.app, partial(_new_instance, step, spec, port, now)))
        self._reserved = {(i.app, i.slot): i for i in self._observed.add(places)}

    async def _start(self, app: str, slot: int) -> None:
        instance = self._reserved.pop((app, slot))
        await self._spawn(instance, self._intent.versions.spec(instance.spec))

    async def _respawn(self, instance: Instance) -> None:
        spec = self._intent.versions.spec(instance.spec)
        movable = spec.app.listens and not self._is_pinned(instance, spec)
        app = self._intent.app_of(instance)
        # On its old port it would have its old share until nginx has asked discovery again.
        starts_slowly = app.slow_start > 0 and app.instances != 1
        if movable and (starts_slowly or await self._ports.holder(instance.port)):
            instance = replace(instance, port=await self._free_port())
            self._observed.put(instance)  # its process may be found by a next daemon, by its id
        await self._spawn(instance, spec)

    @staticmethod
    def _is_pinned(instance: Instance, spec: Spec) -> bool:
        return instance.port == spec.app.pinned_port(instance.slot)

    async def _free_port(self) -> int:
        return await self._ports.free(self._taken_ports())

    def _taken_ports(self) -> frozenset[int]:
        taken = frozenset(i.port for i in self._observed.instances.values())
        return taken | self._intent.desired.pinned_ports

    def _move(self, instance: InstanceId, event: InstanceEvent, why: str) -> None:
        now = self._clock.monotonic()
        self._observed.put(move(self._observed.instances[instance], event, now=now, reason=why))

    def _stop(self, instance: Instance, why: str) -> None:
        if instance.process is None:
            self._move(instance.id, InstanceEvent.STOP_ASKED, why)
            self._move(instance.id, InstanceEvent.FINISHED, why)
            return
        self._move(instance.id, InstanceEvent.STOP_ASKED, why)
        self._signal_to_stop(instance)

    def _restart(self, instance: Instance, why: str) -> None:
        self._events.note("restart", instance.id, why)
        self._move(instance.id, InstanceEvent.RESTART_ASKED, why)
        self._signal_to_stop(instance)

    def _interrupt(self, instance: Instance, why: str) -> None:
        self._events.note("interrupt", instance.id, why)
        self._observed.put(replace(instance, since=self._clock.monotonic(), reason=why))
        self._signal_to_stop(instance)

    def _signal_to_stop(self, instance: Instance) -> None:
        if instance.process is not None:
            signal = self._intent.versions.spec(instance.spec).app.stop_signal
            self._processes.signal(instance.process, signal)

    def _kill(self, instance: Instance, why: str) -> None:
        if instance.process is None:
            return
        self._events.note("kill", instance.id, why)
        self._processes.signal(instance.process, "SIGKILL")
        self._observed.put(after_kill(instance, now=self._clock.monotonic(), why=why))

    async def _switch(self, fingerprint: str) -> None:
        tested = self._intent.tested_generation
        if tested is None or tested.fingerprint != fingerprint:
            tested = await self._intent.install_again()
        try:
            await self._nginx.switch(tested)
        except PorticoError as error:
            self._observed.refused, self._observed.refused_because = fingerprint, str(error)
            raise
        self._observed.mark_nginx_serving()
        self._events.note("nginx", "nginx", "it loaded new files")

    async def _upgrade(self) -> None:
        """Tried once: whoever asked is told, and the operator too."""
        build = self._intent.upgrade
        try:
            await self._nginx.upgrade(build)
        except PorticoError as error:
            self._intent.finish_upgrade(build, str(error))
            raise
        self._intent.finish_upgrade(build)

    async def _stop_nginx(self, *, graceful: bool) -> None:
        await self._nginx.stop(
            graceful=graceful, should_abort=lambda: self._intent.desired.at_once
        )


async def _in_no_cluster(_: NearList) -> None:
    raise AssertionError("announced on a machine that is in no cluster")


def _new_instance(step: StartInstance, spec: Spec, port: int, now: float, number: int) -> Instance:
    return Instance(
        InstanceId(f"{step.app}.{step.slot}.{number}"),
        step.app,
        step.slot,
        spec.id,
        port,
        InstanceState.STARTING,
        since=now,
        spawned=now,
        is_run=spec.app.schedule is not None,
    )
