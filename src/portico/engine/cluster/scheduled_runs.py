"""Runs of apps with a schedule: each at one machine of those on which the app is placed."""

from __future__ import annotations

from functools import partial
from typing import Final

from portico.core.model.names import split_name
from portico.core.model.shared import RUNS, Holder, encoded, run_key
from portico.core.model.stored import ABSENT, Compare, Delete, Put
from portico.engine.cluster.assembly import Shared
from portico.engine.engine import Engine
from portico.engine.projects import Projects
from portico.ports.store import StoreUnavailable

MINUTES_KEPT: Final = 60
"""For which a machine whose clock is late cannot run again what ran."""


class ScheduledRuns:
    def __init__(self, engine: Engine, shared: Shared) -> None:
        self._engine, self._intent, self._shared = engine, engine.intent, shared
        self._projects = Projects(engine.intent)

    def claim(self, app: str, due: float) -> None:
        """Run it here if no other machine does."""
        wanted = self._intent.desired.apps[app]
        if wanted.instances and not wanted.stopped:
            self._engine.tasks.start(f"run of {app}", partial(self._claim, app, due), of=app)

    async def _claim(self, app: str, due: float) -> None:
        project, name = split_name(app)
        shared_name = f"{self._projects.names().projects[project]}/{name}"
        minute = int(due // 60)
        key = run_key(shared_name, minute)
        mine = Put(key, encoded(Holder(machine=self._shared.machine)))
        try:
            is_mine = await self._shared.transaction(
                [Compare(key, ABSENT)], [mine, *self._old(shared_name, minute)]
            )
        except StoreUnavailable as error:
            self._engine.events.note("skip", app, f"it did not run on this machine: {error}")
            return
        if is_mine and app in self._intent.desired.apps:
            self._intent.request_run(app)
            self._engine.loop.wake()

    def _old(self, name: str, minute: int) -> list[Delete]:
        known = self._shared.following.under(f"{RUNS}{name}/")
        return [
            Delete(run_key(name, int(each)))
            for each in known
            if each.isdigit() and int(each) < minute - MINUTES_KEPT
        ]
