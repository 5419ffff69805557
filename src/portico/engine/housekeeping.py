"""What has to be done now and then, whatever else happens: logs, and a look at the disks.

The faster a log grows, the sooner it is looked at again.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from portico.core.model.app import Logs as Limits
from portico.core.model.desired import Desired, Spec
from portico.core.model.names import InstanceId
from portico.core.planning.flood import (
    MAX_INTERVAL,
    Growth,
    bytes_written,
    check_interval,
    flood_warning,
    is_calm,
    largest_writer,
    share_of,
)
from portico.engine.batches import in_batches
from portico.engine.engine import Engine
from portico.engine.exposure import Exposure
from portico.ports.files import Disks, Logs
from portico.ports.nginx import Nginx

NGINX_LOG_INTERVAL: Final = 10.0
"""Seconds between two looks at what is nginx's."""
LOG_BATCH_SIZE: Final = 100
"""Instances, or logs, after which other tasks have their turn."""


@dataclass(frozen=True, slots=True)
class _Log:
    """A file that an instance writes to, and what the operator grants it."""

    instance: InstanceId
    app: str
    spec: Spec
    limits: Limits
    max_size: int = 0
    keep: int = 0

    def with_limits(self, share: int, files: int) -> _Log:
        """With what it may take as one of so many files of its app, and `share` of all apps'."""
        total = min(self.limits.total_size, share * files)
        size, keep = share_of(total, files, max_size=self.limits.max_size, keep=self.limits.keep)
        return replace(self, max_size=size, keep=keep)


class Housekeeping:
    def __init__(
        self,
        engine: Engine,
        exposure: Exposure,
        *,
        disks: Disks,
        logs: Logs,
        nginx: Nginx,
        unreadable: Callable[[Desired], Awaitable[list[str]]],
    ) -> None:
        """`unreadable` says what nginx's workers may not read of the files that sites name."""
        self._intent, self._observed = engine.intent, engine.observed
        self._clock, self._troubles, self._exposure = engine.clock, engine.troubles, exposure
        self._disks, self._logs, self._nginx = disks, logs, nginx
        self._sizes: dict[str, tuple[int, float]] = {}
        """Of each log at the last look, and when that was."""
        self._log_table: tuple[Desired, list[InstanceId], dict[str, _Log]] | None = None
        """The logs by path, with what is wanted and the instances that they are of."""
        self._full: dict[str, str] = {}
        """By disk: who fills it, as far as that was seen."""
        self._pause = MAX_INTERVAL
        self._unreadable = unreadable
        self._closed: list[str] = []
        self._nginx_logs_at = -NGINX_LOG_INTERVAL

    async def look(self) -> None:
        """Once at everything; what is wrong with one file keeps no other one from its turn."""
        logs = await self._log_files()
        grown = await self._growth(logs)
        self._pause = check_interval(grown)
        async for growth in in_batches(grown, LOG_BATCH_SIZE):
            self._report(f"flood {growth.path}", flood_warning(growth), of=growth.instance)
        await self._rotate_instances(logs, grown)
        await self._look_at_disks(grown)
        with self._troubles.fence("check of nginx's caches"):
            await self._nginx.check_caches()
        if self._clock.monotonic() - self._nginx_logs_at >= NGINX_LOG_INTERVAL:
            self._nginx_logs_at = self._clock.monotonic()
            with self._troubles.fence("rotation of nginx's logs"):
                await self._rotate_nginx()
            with self._troubles.fence("check of where apps listen"):
                await self._exposure.look()
            with self._troubles.fence("check of the files that sites use"):
                await self._look_at_files()

    async def pause(self) -> None:
        await self._clock.sleep(self._pause)

    async def _growth(self, logs: dict[str, _Log]) -> list[Growth]:
        sizes, now = await self._logs.sizes(list(logs)), self._clock.monotonic()
        before, self._sizes = self._sizes, {path: (size, now) for path, size in sizes.items()}
        grown: list[Growth] = []
        async for path, log in in_batches(logs.items(), LOG_BATCH_SIZE):
            size, at = before.get(path, (sizes[path], now))
            grew, seconds = bytes_written(size, sizes[path]), now - at
            grown.append(Growth(path, log.instance, grew, seconds, log.max_size, log.keep))
        return grown

    async def _rotate_instances(self, logs: dict[str, _Log], grown: list[Growth]) -> None:
        async for growth in in_batches(grown, LOG_BATCH_SIZE):
            path, log = growth.path, logs[growth.path]
            if self._sizes[path][0] <= log.max_size:
                self._report_rotation(path, None)
                continue
            with self._troubles.fence(f"rotation of {path}", of=log.instance):
                trouble = await self._logs.rotate(
                    log.spec, path, log.max_size, log.keep, compresses=is_calm(growth)
                )
                self._report_rotation(path, trouble)

    async def _rotate_nginx(self) -> None:
        edge = self._intent.desired.edge
        for path, trouble in (await self._nginx.rotate(edge.log_max_size, edge.log_keep)).items():
            self._report_rotation(path, trouble)

    async def _look_at_disks(self, grown: list[Growth]) -> None:
        """Whoever was seen to fill a disk is named for as long as it is full."""
        folders = {growth.path: posixpath.dirname(growth.path) for growth in grown}
        full = await self._disks.full_disks(sorted(set(folders.values())))
        for gone in self._full.keys() - set(full.values()):
            self._troubles.resolve(gone)
        names = {
            disk: largest_writer(each for each in grown if full.get(folders[each.path]) == disk)
            for disk in set(full.values())
        }
        self._full = {disk: name or self._full.get(disk, "") for disk, name in names.items()}
        for disk, name in self._full.items():
            self._troubles.report(disk, f"{disk}; {name}" if name else disk)

    async def _look_at_files(self) -> None:
        desired = self._intent.desired
        sentences = await self._unreadable(desired)
        for gone in set(self._closed) - set(sentences):
            self._troubles.resolve(gone)
        for sentence in sentences:
            self._troubles.report(sentence, sentence)
        self._closed = sentences

    async def _log_files(self) -> dict[str, _Log]:
        """The same as the last time if neither what is wanted nor any instance is another."""
        desired, instances = self._intent.desired, list(self._observed.instances)
        known = self._log_table
        if known is None or known[0] is not desired or known[1] != instances:
            known = self._log_table = desired, instances, await self._listed_logs()
        return known[2]

    async def _listed_logs(self) -> dict[str, _Log]:
        found: dict[str, _Log] = {}
        of_app: Counter[str] = Counter()
        async for i in in_batches(list(self._observed.instances.values()), LOG_BATCH_SIZE):
            if i.id not in self._observed.instances:
                continue  # nor is its version known any more
            spec, limits = self._intent.versions.spec(i.spec), self._intent.app_of(i).logs
            files = self._logs.files(spec, i.slot)
            for path in {files.stdout, files.stderr} - found.keys():
                found[path] = _Log(i.id, i.app, spec, limits)
                of_app[i.app] += 1
        share = self._intent.desired.edge.log_total_size // max(len(found), 1)
        async for path, each in in_batches(list(found.items()), LOG_BATCH_SIZE):
            found[path] = each.with_limits(share, of_app[each.app])
        return found

    def _report_rotation(self, path: str, trouble: str | None) -> None:
        self._report(path, f"cannot rotate {path}: {trouble}" if trouble else "")

    def _report(self, subject: str, sentence: str, of: str = "") -> None:
        if sentence:
            self._troubles.report(subject, sentence, of=of)
        else:
            self._troubles.resolve(subject)
