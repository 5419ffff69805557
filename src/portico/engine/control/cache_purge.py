"""`portico cache purge`: stored answers of a site are removed, and what was under way as well.

nginx stores what an app was asked for before a purge when the answer has come, which may be after
it. So each purge is repeated, by one task for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from portico.core.model.site import Site
from portico.core.render.cache import cache_names
from portico.core.render.scope import Scope, scopes
from portico.engine.engine import Engine
from portico.engine.tasks import Task
from portico.errors import Refused
from portico.ports.nginx import Nginx

REPEAT_DELAYS: Final = (2.0, 15.0, 65.0)
"""Seconds; the last is more than the default of `proxy_read_timeout`."""
ALL_KEYS: Final = "*"


class CachePurge:
    def __init__(self, engine: Engine, nginx: Nginx) -> None:
        self._clock, self._intent, self._tasks = engine.clock, engine.intent, engine.tasks
        self._nginx = nginx
        self._due: list[tuple[float, frozenset[str], str]] = []
        """When, in the caches of which names, and under which keys."""
        self._task: Task | None = None

    async def purge(self, names: Iterable[str], key: str | None) -> int:
        """Of these sites; returns how many answers were removed at once."""
        desired = self._intent.desired
        sites = {name: desired.sites[name] for name in names}
        caches = frozenset(c for name, site in sites.items() for c in _caches(name, site))
        if not caches:
            raise Refused(f"{', '.join(sites)} has no cache in its file; nothing was removed")
        wanted = key or ALL_KEYS
        removed = await self._nginx.purge(caches, {wanted})
        now = self._clock.monotonic()
        self._due += [(now + after, caches, wanted) for after in REPEAT_DELAYS]
        if self._task is None or self._task.done():
            self._task = self._tasks.start("repeated purge of stored answers", self._repeat)
        return removed

    async def _repeat(self) -> None:
        while self._due:
            await self._clock.sleep(min(self._due)[0] - self._clock.monotonic())
            now, wanted = self._clock.monotonic(), dict[frozenset[str], set[str]]()
            for _, caches, key in (each for each in self._due if each[0] <= now):
                wanted.setdefault(caches, set()).add(key)
            self._due = [each for each in self._due if each[0] > now]
            for caches, keys in wanted.items():
                await self._nginx.purge(caches, keys)


def _caches(name: str, site: Site) -> frozenset[str]:
    return cache_names(scopes(Scope(name, site)))
