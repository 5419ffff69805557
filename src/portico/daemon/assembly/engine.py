"""The engine, connected: its loop, and what looks at instances for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from portico.adapters.files.watcher import NotifiedFiles
from portico.adapters.probes.loopback import LoopbackProbes
from portico.api.app import Api
from portico.core.planning.endpoints import endpoints_of
from portico.core.planning.steps import Step
from portico.core.render.bootstrap_peers import bootstrap_files
from portico.daemon.assembly.programs import ProgramAdapters
from portico.daemon.machine import usable_cores
from portico.engine.changes import Changes
from portico.engine.control.operations import Operations
from portico.engine.engine import Engine
from portico.engine.events import Events
from portico.engine.execute import Executor
from portico.engine.instances.assembly import Instances, assemble_instances
from portico.engine.instances.file_watches import FileWatches
from portico.engine.instances.observer import Observer
from portico.engine.intent import Intent
from portico.engine.loop import ReconcileLoop
from portico.engine.observed import ObservedWorld
from portico.engine.projects import Projects
from portico.engine.safe_mode import SafeMode
from portico.engine.server_checks import ServerChecks
from portico.engine.tasks import Tasks
from portico.engine.troubles import Troubles
from portico.errors import PorticoError
from portico.ports.clock import Clock
from portico.ports.state import State
from portico.system.home import Home

if TYPE_CHECKING:
    from portico.engine.cluster.neighbourhood import Neighbourhood

STARTS_PER_CORE: Final = 4
"""Programs that may be starting at a time: enough where each waits now and then for something."""


def assemble_engine(  # noqa: PLR0913 - everything stands on it, and its loop calls three of those
    state: State,
    clock: Clock,
    group: asyncio.TaskGroup,
    deaths: int,
    programs: ProgramAdapters,
    *,
    observer: Callable[[], Observer],
    executor: Callable[[], Executor],
    api: Callable[[], Api],
) -> Engine:
    """The last three return what stands on the engine, and are called by its loop."""
    troubles = Troubles()
    intent = Intent(state, programs.nginx)
    events = Events(state, clock, Projects(intent).of_subject)
    observed = ObservedWorld(
        state, clock, programs.discovery, programs.nginx, programs.ports, events
    )
    observed.hold(intent.holds())
    loop = ReconcileLoop(
        clock,
        lambda: (intent.desired, intent.fingerprint),
        lambda: observer().observe(),
        lambda step: executor()(step),  # noqa: PLW0108 - it stands on this loop
        partial(_report_failure, troubles),
        lambda starts: executor().reserve(starts),
        turn=lambda: api().requests.wait_for_answers(),  # noqa: PLW0108
    )
    tasks, versions = Tasks(group, troubles, clock), intent.versions
    return Engine(
        Changes(tasks, clock, events.note, lambda: versions.targets),
        clock,
        events,
        intent,
        loop,
        observed,
        SafeMode(deaths, troubles),
        state,
        tasks,
        troubles,
    )


async def open_instances(engine: Engine, programs: ProgramAdapters) -> Instances:
    """Programs can say from now on that they are ready."""
    instances = assemble_instances(engine, programs, LoopbackProbes())
    with engine.troubles.fence("notices"):
        await programs.notices.open(programs.notice_paths, instances.readiness.on_notice)
    return instances


def executor_of(
    engine: Engine,
    programs: ProgramAdapters,
    instances: Instances,
    neighbourhood: Neighbourhood | None,
) -> Executor:
    return Executor(
        engine,
        instances.supervision.spawn,
        programs,
        neighbourhood.announce if neighbourhood else None,
    )


def observer_of(
    engine: Engine,
    instances: Instances,
    watches: FileWatches,
    server_checks: ServerChecks,
    neighbourhood: Neighbourhood | None,
) -> Observer:
    return Observer(
        engine,
        instances,
        watches,
        server_checks,
        most_starting=STARTS_PER_CORE * usable_cores(),
        cluster=neighbourhood.cluster if neighbourhood else None,
    )


def file_watches_of(engine: Engine, operations: Operations, home: Home) -> FileWatches:
    return FileWatches(
        engine.intent,
        engine.troubles,
        operations.reload_watched,
        clock=engine.clock,
        files=NotifiedFiles(),
        home=str(home.path),
    )


def bootstrap_peers(engine: Engine) -> Mapping[str, str]:
    """The peers that discovery hands out, or will as soon as it is asked."""
    observed = engine.observed
    desired, world = engine.intent.desired, observed.now()
    instances = world.by_app()
    return bootstrap_files(
        {
            **observed.servers,
            **{
                name: endpoints_of(app, instances[name], world.now)
                for name, app in desired.apps.items()
            },
        },
        observed.far,
    )


def _report_failure(troubles: Troubles, step: Step, error: Exception) -> None:
    of = str(getattr(step, "instance", "") or getattr(step, "app", ""))
    if isinstance(error, PorticoError):
        troubles.report(str(step), str(error), of=of)
    else:
        troubles.report_bug(str(step), str(step), error, of=of)
