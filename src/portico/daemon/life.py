"""A daemon's life: take over what runs, serve, and exit without disturbing anything."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from typing import Final

from portico import __version__
from portico.adapters.state.sqlite import SqliteState
from portico.api.server import serve
from portico.daemon.deaths import Deaths
from portico.daemon.lazy_parts import DASHBOARD_PORT
from portico.daemon.machine import Mode
from portico.daemon.wiring import Portico, assemble
from portico.engine.changes import Changes
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.engine.instances.assembly import Instances
from portico.ports.clock import Clock
from portico.ports.nginx import Nginx
from portico.system.boot import boot_id
from portico.system.home import Home
from portico.system.memory import return_freed
from portico.system.notify import Notify
from portico.system.orphans import REAP_INTERVAL, Orphans, inherit_orphans

log = logging.getLogger(__name__)

GC_THRESHOLD: Final = 20_000
"""Objects that have come and not gone; 700 if nothing is said (gc.set_threshold)."""
IDLE_TIMEOUT: Final = 30.0
"""Seconds. A daemon that has nothing to supervise exits; the next command starts another."""


class Shutdown(Exception):
    """Ends the group of tasks, and with it everything the daemon does."""


@dataclass(frozen=True, slots=True)
class DaemonProcess:
    """What a daemon has of its own process, however it was started."""

    home: Home
    clock: Clock
    stop: asyncio.Event
    """Set when it is to exit."""
    uids: frozenset[int]
    """Users that may ask it for anything."""
    notify: Notify
    deaths: Deaths


async def run_daemon(
    process: DaemonProcess,
    companion: Callable[[Portico], Coroutine[None, None, None]],
    mode: Mode,
) -> None:
    """Run until `stop` is set. nginx and the instances keep running."""
    home, clock, notify, deaths = process.home, process.clock, process.notify, process.deaths
    inherit_orphans()
    async with AsyncExitStack() as stack, _task_group() as group:
        state = stack.enter_context(closing(SqliteState(home.database)))
        portico = await assemble(home, state, clock, group, mode, deaths.count(clock.now()))
        engine, control, nginx = portico.engine, portico.control, portico.programs.nginx
        await take_over(engine, portico.instances, portico.in_force, nginx)
        _limit_garbage_collection()
        group.create_task(engine.loop.run(), name="reconcile")
        group.create_task(companion(portico), name="companion")
        start, repeat = engine.tasks.start, engine.tasks.repeat
        start("watchdog signal", partial(_signal_watchdog, notify, clock))
        start("start of periodic tasks", partial(_start_periodic_tasks, portico, deaths))
        if int(state.setting(DASHBOARD_PORT) or 0):
            start("dashboard", control.dashboard.resume)
        if others := portico.neighbourhood:
            repeat("lists of other machines", others.look, others.pause)
        if totals := portico.totals:
            repeat("parts of drained machines", totals.look, totals.pause)
        if listener := portico.machines:
            stack.callback(listener.close)
            start("answers to other machines", listener.open)
        if shared := portico.shared:
            stack.push_async_callback(shared.end)
            with engine.troubles.fence("the cluster's store"):
                await shared.begin()
            shared.start(engine.tasks)
        if joins := control.join_listener:
            repeat("listener for machines that join", joins.serve, joins.pause)
        ownership = portico.instances.ownership
        repeat("owners of ports", ownership.look, ownership.pause)
        reap = partial(_reap_orphans, Orphans(), portico)
        repeat("orphans", reap, partial(clock.sleep, REAP_INTERVAL))
        nginx.watch(engine.loop.wake)
        await serve(
            control.api,
            home.socket,
            process.stop,
            process.uids,
            notify.ready,
            engine.events.close,
        )
        await engine.observed.record()
    notify.stopping()
    log.info("exiting; instances and nginx keep running")


@asynccontextmanager
async def _task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A group whose tasks are cancelled at its end."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
            raise Shutdown  # noqa: TRY301 - it is what ends the group
    except* Shutdown:
        pass


def _limit_garbage_collection() -> None:
    """What is there now stays to the end, modules above all: to look through it for what could be
    collected held the loop up for 70 ms every time. And what a thousand instances are shown with
    in one answer is no reason to look either.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    gc.enable()
    return_freed()


async def _start_periodic_tasks(portico: Portico, deaths: Deaths) -> None:
    """What is done again and again beside the loop, and not in safe mode."""
    engine, periodic = portico.engine, portico.periodic
    if engine.safe_mode.is_on:
        await engine.safe_mode.wait_until_off()
        deaths.forget()
        engine.loop.wake()
    repeat = engine.tasks.repeat
    certificates, watches = portico.certificates, portico.watches
    repeat("housekeeping", periodic.housekeeping.look, periodic.housekeeping.pause)
    repeat("certificates", certificates.loop.look, certificates.loop.pause)
    repeat("own certificates", certificates.own.look, certificates.own.pause)
    repeat("files of client certificates", certificates.clients.look, certificates.clients.pause)
    repeat("check of stored certificates", certificates.stored.look, certificates.stored.pause)
    repeat("search for other renewers", certificates.migration.look, certificates.migration.pause)
    repeat("listener for metrics", periodic.metrics.look, periodic.metrics.pause)
    repeat("counting of requests", periodic.traffic.look, periodic.traffic.pause)
    repeat("watching of files", watches.look, watches.pause)
    repeat("notifications", periodic.notifications.look, periodic.notifications.pause)
    repeat("removal of old events", engine.events.drop_old, engine.events.pause)


async def _signal_watchdog(notify: Notify, clock: Clock) -> None:
    """Prove that the event loop turns: systemd ends a daemon that hangs, and starts another."""
    while notify.watchdog_interval is not None:
        notify.ping_watchdog()
        await clock.sleep(notify.watchdog_interval)


async def _reap_orphans(orphans: Orphans, portico: Portico) -> None:
    await asyncio.to_thread(orphans.reap, portico.programs.processes.watched_processes())


async def take_over(engine: Engine, instances: Instances, in_force: InForce, nginx: Nginx) -> None:
    """Adopt instances, and want again what an earlier daemon wanted."""
    intent = engine.intent
    engine.observed.begin(boot_id())
    await instances.supervision.adopt()
    is_first = intent.is_first_of(__version__)
    await in_force.resume()
    seen, build = nginx.observe(), intent.build
    if build is None:
        return
    if is_first and intent.is_in_force(seen) and not seen.runs(build):
        intent.request_upgrade(build)


async def stop_when_idle(portico: Portico, stop: asyncio.Event) -> None:
    """Set `stop` when nothing is left to look after: as soon as who asked for that knows it, else
    after a while.
    """
    idle = 0
    while idle < 2:  # noqa: PLR2004 - idle throughout, and not only when looked at
        end_was_seen = await _end_was_seen(portico.engine.changes, IDLE_TIMEOUT / 2)
        idle = idle + 1 + end_was_seen if _is_idle(portico) else 0
    log.info("idle; exiting")
    stop.set()


async def _end_was_seen(changes: Changes, seconds: float) -> bool:
    """Whether somebody has seen the end of a change within so many seconds."""
    changes.end_was_seen.clear()
    try:
        async with asyncio.timeout(seconds):
            return await changes.end_was_seen.wait()
    except TimeoutError:
        return False


def _is_idle(portico: Portico) -> bool:
    engine, control = portico.engine, portico.control
    return not (
        (portico.shared and portico.shared.is_waited_for)
        or engine.intent.desired.apps
        or engine.intent.desired.needs_nginx
        or engine.observed.instances
        or engine.observed.unrecorded
        or engine.changes.under_way()
        or control.api.answering
        or portico.programs.nginx.observe().pid
    )
