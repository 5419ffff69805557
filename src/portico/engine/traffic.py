"""Which requests are counted, and as whose: what there is, for the program that counts them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.core.counting.table import stream_site
from portico.core.model.desired import Desired
from portico.core.model.traffic import CountedInstance, CountedSite
from portico.core.render.access_log import access_log_path, stream_log_name
from portico.core.render.scope import Scope, file_name, scopes
from portico.engine.engine import Engine
from portico.engine.projects import name_of
from portico.engine.tasks import Task
from portico.ports.traffic import Traffic

MIN_INTERVAL: Final = 1.0
"""Seconds between two looks, which follow rounds of the loop."""
PROBLEM_INTERVAL: Final = 5.0
FIRST_PAUSE: Final = 1.0
MAX_PAUSE: Final = 300.0
"""Seconds before a program that ended by itself is started again."""
STABLE_TIME: Final = 60.0
"""Seconds after which one that runs is started again at once."""
_SUBJECT: Final = "counting of requests"


class TrafficCounting:
    def __init__(self, engine: Engine, traffic: Traffic, home: str) -> None:
        self._intent, self._observed = engine.intent, engine.observed
        self._clock, self._tasks, self._troubles = engine.clock, engine.tasks, engine.troubles
        self._after_round = engine.loop.after_round
        self._traffic, self._home = traffic, home
        self._task: Task | None = None
        self._started_at = self._looked_at = -MAX_PAUSE
        self._pause = 0.0
        self._desired: Desired | None = None
        """Whose sites were said."""
        self._instances: list[CountedInstance] = []

    async def look(self) -> None:
        now = self._clock.monotonic()
        if self._task is None or self._task.done():
            if now - self._started_at >= self._pause and any(self._sites(self._intent.desired)):
                self._start(now)
            return
        await self._arrange()
        if now - self._looked_at >= PROBLEM_INTERVAL:
            self._looked_at = now
            if problem := (await self._traffic.rates()).problem:
                self._troubles.report(_SUBJECT, problem)
            else:
                self._troubles.resolve(_SUBJECT)
        if now - self._started_at > STABLE_TIME:
            self._pause = 0.0

    async def pause(self) -> None:
        await self._after_round(MIN_INTERVAL)

    def _start(self, now: float) -> None:
        self._started_at = now
        self._task = self._tasks.start(_SUBJECT, self._run)

    async def _run(self) -> None:
        why = await self._traffic.run()
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), MAX_PAUSE)
        self._troubles.report(
            _SUBJECT, f"the program that counts requests exited and will be restarted: {why}"
        )

    async def _arrange(self) -> None:
        """Say what is new."""
        desired, instances = self._intent.desired, self._counted_instances()
        is_known = desired is self._desired and not self._traffic.is_new
        if is_known and [each[2:] for each in instances] == [each[2:] for each in self._instances]:
            return
        self._desired, self._instances = desired, instances
        await self._traffic.arrange(None if is_known else [*self._sites(desired)], instances)

    def _counted_instances(self) -> list[CountedInstance]:
        wall, now = self._clock.now(), self._clock.monotonic()
        return [
            (i.port, wall - (now - i.spawned) if i.spawned else wall, i.app, i.id)
            for i in self._observed.instances.values()
        ]

    def _sites(self, desired: Desired) -> Iterator[CountedSite]:
        """Those whose access log says what is counted."""
        if desired.edge.access_log_format != "json":
            return
        projects = {key: name_of(each) for key, each in self._intent.revisions.items()}
        for name, site in desired.sites.items():
            if site.access_log:
                yield CountedSite(
                    access_log_path(self._home, file_name(name)),
                    projects.get(desired.origin(name).project, ""),
                    name,
                    {s.label: s.target.app for s in scopes(Scope(name, site)) if s.target.app},
                )
        for key, each in desired.streams.items():
            if each.stream.access_log:
                yield CountedSite(
                    access_log_path(self._home, stream_log_name(key)),
                    projects.get(each.project, ""),
                    stream_site(key),
                    {"": each.stream.app} if each.stream.app else {},
                )
