"""Changes of files, as the kernel tells them (inotify; polling where there is none)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, Mapping
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Final

from portico.adapters.files.watched_folders import (
    Identity,
    identity,
    is_folder,
    is_utf8,
    watched_folders,
)
from portico.core.model.watched import WatchResult, WatchSettings
from portico.core.planning.watching import is_ignored
from portico.system.account import account_if_known
from portico.system.rights import acting_as

if TYPE_CHECKING:
    from watchfiles.main import FileChange

    Events = Generator[set[FileChange], None, None]

_POLL_MS: Final = 1
"""What has happened is asked for, not waited for: no thread is kept busy by it."""
_FOLDERS_AT_ONCE: Final = 400
"""Places in one object of watchfiles: all of Python waits while it is made, 25 µs for each."""
_PAUSE_MS: Final = 20
"""Looks between two attempts: what cannot be watched is often large."""
_CHANGE_ADDED: Final = 1
"""`watchfiles.Change.added`, which cannot be imported here."""


class NotifiedFiles:
    """Implements `Files`."""

    def __init__(self) -> None:
        self._watches: dict[str, _Watch] = {}

    async def look(self, wanted: Mapping[str, WatchSettings]) -> Mapping[str, WatchResult]:
        return await asyncio.to_thread(self._look, wanted)

    def _look(self, wanted: Mapping[str, WatchSettings]) -> Mapping[str, WatchResult]:
        for name, watch in list(self._watches.items()):
            if wanted.get(name) != watch.watched:
                self._watches.pop(name).close()
        for name in wanted.keys() - self._watches.keys():
            self._watches[name] = _Watch(wanted[name])
        return {name: watch.look() for name, watch in self._watches.items()}


class _Watch:
    """Each folder is watched by itself, so that none is that is ignored. All are watched anew when
    another one has come: the kernel watches folders and files, not their paths.
    """

    def __init__(self, watched: WatchSettings) -> None:
        self.watched = watched
        self._roots: dict[str, Identity | None] | None = None
        """What was at each root when it was looked at last; None before the first time."""
        self._events: list[Events] = []
        self._trouble, self._rest = "", 0

    def look(self) -> WatchResult:
        """With the rights of the app's user, which the threads that wait for changes keep."""
        with suppress(ImportError):  # which is told when it is used
            import watchfiles  # noqa: F401, PLC0415 - the user may not be allowed to read it
        account = account_if_known(self.watched.user, self.watched.group)
        with acting_as(account) if account.uid else nullcontext():
            return self._look()

    def _look(self) -> WatchResult:
        before, here = self._roots, {root: identity(root) for root in self.watched.roots}
        there, changes = [root for root in here if here[root]], self._changes(self._events)
        changed = [path for _, path in changes]
        retry = not self._events and self._rest == 0 and there != []
        if retry or here != before or any(k == _CHANGE_ADDED and is_folder(p) for k, p in changes):
            changed += self._open(there)
        if before is not None:
            changed += [root for root in there if here[root] != before[root]]
        self._roots, self._rest = here, max(0, self._rest - 1)
        missing = next((f"{root} does not exist" for root in here if not here[root]), "")
        return WatchResult(min(changed, default=""), missing or self._trouble)

    def close(self) -> None:
        for each in self._events:
            each.close()
        self._events = []

    def _open(self, roots: list[str]) -> list[str]:
        """Watch what is below these now. The old events end when the new ones have begun. What
        could not be watched before may have changed since.
        """
        old, unwatched = self._events, roots if self._trouble else []
        self._trouble, self._rest = "", _PAUSE_MS
        folders = watched_folders(self.watched, roots)
        found = [path for path in folders if is_utf8(path)]
        self._events = [
            _events(found[n : n + _FOLDERS_AT_ONCE])
            for n in range(0, len(found), _FOLDERS_AT_ONCE)
        ]
        changes = self._changes(self._events) + self._changes(old)
        for each in old:
            each.close()
        changed = [path for _, path in changes]
        if not self._trouble and len(found) < len(folders):
            left_out = next(path for path in folders if not is_utf8(path))
            shown = os.fsencode(left_out).decode(errors="replace")
            self._trouble = f"the name of {shown} is not UTF-8"
        return changed if self._trouble else changed + unwatched

    def _changes(self, events: list[Events]) -> list[FileChange]:
        """What has changed since the last call, without what is ignored."""
        try:
            changes = [change for each in events for change in next(each)]
        except (ImportError, OSError, RuntimeError, UnicodeError, StopIteration) as error:
            self._trouble = str(error)
            self._rest = 0 if isinstance(error, FileNotFoundError) else self._rest
            self.close()
            return []
        return [change for change in changes if not is_ignored(change[1], self.watched)]


def _events(paths: list[str]) -> Events:
    """What has happened since the last time, without waiting for it; the first time begins."""
    from watchfiles import watch  # noqa: PLC0415 - only where something is watched

    yield from watch(
        *paths,
        watch_filter=None,
        debounce=_POLL_MS,
        step=_POLL_MS,
        rust_timeout=_POLL_MS,
        yield_on_timeout=True,
        recursive=False,
        ignore_permission_denied=True,
    )
