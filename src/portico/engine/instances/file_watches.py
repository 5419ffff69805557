"""Changes of an app's files, where it has `watch`: one rollout for all that come together."""

from __future__ import annotations

import asyncio
import logging
import posixpath
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from portico.core.model.desired import DesiredApp
from portico.core.model.event import Requester
from portico.core.model.instance import LogFiles
from portico.core.model.watched import WatchResult, WatchSettings
from portico.core.planning.watching import (
    LOOP_ROLLOUTS,
    LOOP_TIME,
    PendingRestart,
    is_due,
    is_loop,
    with_change,
)
from portico.engine.intent import Intent
from portico.engine.troubles import Troubles
from portico.errors import PorticoError
from portico.ports.clock import Clock
from portico.ports.files import Files

log = logging.getLogger(__name__)

LOOK_INTERVAL: Final = 0.5
"""Seconds between two looks at what has changed."""
BEGIN_TIMEOUT: Final = 2.0
"""Seconds that a round of the loop waits for it: files may lie on a disk that does not answer."""


class FileWatches:
    def __init__(
        self,
        intent: Intent,
        troubles: Troubles,
        reload: Callable[[str, Requester], Awaitable[object]],
        *,
        clock: Clock,
        files: Files,
        home: str,
    ) -> None:
        """`reload` begins a rollout of an app and is told why, or refuses while it has one."""
        self._intent, self._troubles, self._reload = intent, troubles, reload
        self._clock, self._files, self._home = clock, files, home
        self._watched: Mapping[str, WatchSettings] = {}
        self._begun: Mapping[str, WatchSettings] = {}
        self._woken, self._looked = asyncio.Event(), asyncio.Event()
        self._pending: dict[str, PendingRestart] = {}
        self._rollouts: defaultdict[str, deque[float]] = defaultdict(
            lambda: deque(maxlen=LOOP_ROLLOUTS)
        )
        """By app: when the last ones began."""

    async def pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_INTERVAL if self._watched else None):
                await self._woken.wait()

    async def begin(self) -> None:
        """Return when all is watched that is to be: what an instance has read when it started can
        then change no more without being seen.
        """
        if self._wanted_watches() in (self._watched, self._begun):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(BEGIN_TIMEOUT):
                while self._watched != self._wanted_watches():
                    self._looked.clear()
                    self._woken.set()
                    await self._looked.wait()
        self._begun = self._wanted_watches()

    async def look(self) -> None:
        """What has changed is noted; where it is time, a rollout begins."""
        self._woken.clear()
        wanted, apps = self._wanted_watches(), self._intent.desired.apps
        for name in self._watched.keys() - wanted.keys():
            self._troubles.resolve(f"watch {name}")
            self._troubles.resolve(_loop_of(name))
            self._pending.pop(name, None)
            self._rollouts.pop(name, None)
        if wanted or self._watched:
            self._note(await self._files.look(wanted))
        self._watched = wanted
        self._looked.set()
        for name, begun in self._rollouts.items():
            if not is_loop(begun, self._clock.monotonic()):
                self._troubles.resolve(_loop_of(name))
        for name, pending in list(self._pending.items()):
            if is_due(pending, apps[name].app.watch_delay, self._clock.monotonic()):
                with self._troubles.fence(f"rollout after a change in {name}", of=name):
                    await self._roll_out(name, pending.path)

    def _note(self, looks: Mapping[str, WatchResult]) -> None:
        now = self._clock.monotonic()
        for name, found in looks.items():
            if found.changed:
                self._pending[name] = with_change(self._pending.get(name), found.changed, now)
            if found.trouble:
                trouble = f"cannot watch all files of {name}: {found.trouble}; retrying"
                self._troubles.report(f"watch {name}", trouble)
            else:
                self._troubles.resolve(f"watch {name}")

    async def _roll_out(self, name: str, path: str) -> None:
        """What changes from now on makes one more: the new instances may not have read it."""
        try:
            await self._reload(name, Requester(f"a change of {path}"))
        except PorticoError:  # another change of the app is under way: then after it
            return
        del self._pending[name]
        log.info("%s: %s has changed", name, path)
        begun, now = self._rollouts[name], self._clock.monotonic()
        begun.append(now)
        if is_loop(begun, now):
            self._troubles.report(
                _loop_of(name),
                f"{name} was replaced {LOOP_ROLLOUTS} times within {LOOP_TIME:g}s because files "
                f"changed, the last time {path}; if the app writes them, add them to ignore_watch",
                of=name,
            )

    def _wanted_watches(self) -> dict[str, WatchSettings]:
        return {
            name: self._watch_settings(app)
            for name, app in self._intent.desired.apps.items()
            if app.app.watches and not app.stopped
        }

    def _watch_settings(self, app: DesiredApp) -> WatchSettings:
        folder = posixpath.normpath(posixpath.join(app.spec.folder, app.app.cwd or ""))
        roots = tuple(posixpath.normpath(posixpath.join(folder, path)) for path in app.app.watches)
        ignored = app.app.ignore_watch
        own = (path for path in self._own_files(app) if not _holds(path, roots))
        return WatchSettings(
            folder,
            roots,
            (ignored,) if isinstance(ignored, str) else ignored,
            tuple(sorted(own)),
            app.app.user,
            app.app.group,
        )

    def _own_files(self, app: DesiredApp) -> set[str]:
        """PORTICO_HOME, its logs, and the files in force, for which there is `portico up`."""
        files = {self._home, *(each.file for each in self._intent.revisions.values())}
        named = replace(app.spec, links={})  # as what is watched is named
        for slot in range(1, app.instances + 1):
            logs = LogFiles.of(named, slot, self._home)
            files |= {logs.stdout, logs.stderr}
        return files


def _loop_of(app: str) -> str:
    """The subject of the trouble."""
    return f"watch loop of {app}"


def _holds(folder: str, roots: tuple[str, ...]) -> bool:
    return any(f"{root}/".startswith(f"{folder}/") for root in roots)
