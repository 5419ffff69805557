"""What has to be done now and then, whatever else happens: logs, and a look at the disks."""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from portico.core.model.desired import Desired
from portico.engine.intent import Intent
from portico.engine.observed import Observed
from portico.engine.troubles import Troubles
from portico.ports import Clock, Disks, Logs, Nginx

EVERY: Final = 10.0
"""Seconds. A program that writes 10 MB/s fills ten times its cap meanwhile, and no more."""


class Upkeep:
    def __init__(  # noqa: PLR0913 - all that is looked after
        self,
        intent: Intent,
        observed: Observed,
        troubles: Troubles,
        *,
        clock: Clock,
        disks: Disks,
        logs: Logs,
        nginx: Nginx,
        unreadable: Callable[[Desired], Awaitable[list[str]]],
    ) -> None:
        """`unreadable` says what nginx's workers may not read of the files that sites name."""
        self._intent, self._observed, self._troubles = intent, observed, troubles
        self._clock, self._disks, self._logs, self._nginx = clock, disks, logs, nginx
        self._unreadable = unreadable
        self._full: list[str] = []
        self._closed: list[str] = []

    async def look(self) -> None:
        """Once at everything; what is wrong with one file keeps no other one from its turn."""
        await self._rotate_instances()
        with self._troubles.fence("rotation of nginx's logs"):
            await self._rotate_nginx()
        await self._look_at_disks()
        with self._troubles.fence("a look at the files that sites name"):
            await self._look_at_files()

    async def pause(self) -> None:
        await self._clock.sleep(EVERY)

    async def _rotate_instances(self) -> None:
        done: set[str] = set()
        for i in list(self._observed.instances.values()):
            spec = self._intent.spec(i.spec)
            limits = self._intent.app_of(i).logs
            files = self._logs.files(spec, i.slot)
            for path in {files.stdout, files.stderr} - done:
                done.add(path)
                with self._troubles.fence(f"rotation of {path}", of=i.id):
                    trouble = await self._logs.rotate(spec, path, limits.max_size, limits.keep)
                    self._said(path, trouble)

    async def _rotate_nginx(self) -> None:
        edge = self._intent.desired.edge
        for path, trouble in (await self._nginx.rotate(edge.log_max_size, edge.log_keep)).items():
            self._said(path, trouble)

    async def _look_at_disks(self) -> None:
        folders = {posixpath.dirname(path) for path in self._log_files()}
        self._full = self._told(self._full, await self._disks.full(sorted(folders)))

    async def _look_at_files(self) -> None:
        desired, _ = self._intent.wanted()
        self._closed = self._told(self._closed, await self._unreadable(desired))

    def _told(self, before: list[str], sentences: list[str]) -> list[str]:
        for gone in set(before) - set(sentences):
            self._troubles.over(gone)
        for sentence in sentences:
            self._troubles.report(sentence, sentence)
        return sentences

    def _log_files(self) -> Iterator[str]:
        for i in self._observed.instances.values():
            files = self._logs.files(self._intent.spec(i.spec), i.slot)
            yield from (files.stdout, files.stderr)

    def _said(self, path: str, trouble: str | None) -> None:
        if trouble:
            self._troubles.report(path, f"cannot rotate {path}: {trouble}")
        else:
            self._troubles.over(path)
