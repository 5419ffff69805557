"""Changes of files, as the kernel tells them (inotify; polling where there is none)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Final

from portico.core.model.watched import Look, Watched
from portico.core.planning.watching import is_ignored

if TYPE_CHECKING:
    from watchfiles.main import FileChange

_POLL_MS: Final = 1
"""What has happened is asked for, not waited for: no thread is kept busy by it."""
_REST: Final = 20
"""Looks between two attempts: what cannot be watched is often large."""

_Identity = tuple[int, int]


class NotifiedFiles:
    """Implements `Files`."""

    def __init__(self) -> None:
        self._watches: dict[str, _Watch] = {}

    async def look(self, wanted: Mapping[str, Watched]) -> Mapping[str, Look]:
        return await asyncio.to_thread(self._look, wanted)

    def _look(self, wanted: Mapping[str, Watched]) -> Mapping[str, Look]:
        for name, watch in list(self._watches.items()):
            if wanted.get(name) != watch.watched:
                self._watches.pop(name).close()
        for name in wanted.keys() - self._watches.keys():
            self._watches[name] = _Watch(wanted[name])
        return {name: watch.look() for name, watch in self._watches.items()}


class _Watch:
    """The kernel watches a file or folder, not its path: where another one has come to the path,
    or none is left there, it is watched anew.
    """

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self._seen: dict[str, _Identity | None] | None = None
        """What was at each root when it was looked at last; None before the first time."""
        self._events: Generator[set[FileChange], None, None] | None = None
        self._trouble, self._rest = "", 0

    def look(self) -> Look:
        before, here = self._seen, {root: _identity(root) for root in self.watched.roots}
        there, paths = [root for root in here if here[root]], self._drain()
        if here != before or (self._events is None and self._rest == 0):
            paths += self._open(there)
        changed = [path for path in paths if not is_ignored(path, self.watched)]
        if before is not None:
            changed += [root for root in there if here[root] != before[root]]
        self._seen, self._rest = here, max(0, self._rest - 1)
        missing = next((f"{root} is not there" for root in here if not here[root]), "")
        return Look(min(changed, default=""), missing or self._trouble)

    def close(self) -> None:
        if self._events is not None:
            self._events.close()
        self._events = None

    def _open(self, roots: list[str]) -> list[str]:
        """Watch these from now on. What was not to be watched before may have changed since."""
        self.close()
        untold, self._trouble, self._rest = roots if self._trouble else [], "", _REST
        if not roots:
            return []
        self._events = _events(roots)
        return [*self._drain(), *([] if self._trouble else untold)]

    def _drain(self) -> list[str]:
        """The paths that have changed since the last call. Without events there are none."""
        if self._events is None:
            return []
        try:
            return [path for _, path in next(self._events)]
        except (ImportError, OSError, RuntimeError) as error:
            self.close()
            self._trouble = str(error)
            return []


def _events(roots: list[str]) -> Generator[set[FileChange], None, None]:
    """What has happened since the last time, without waiting for it."""
    from watchfiles import watch  # noqa: PLC0415 - only where something is watched

    yield from watch(
        *roots,
        watch_filter=None,
        debounce=_POLL_MS,
        step=_POLL_MS,
        rust_timeout=_POLL_MS,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )


def _identity(path: str) -> _Identity | None:
    """Of what is at a path, at the end of links."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path for each look would be waste
    except OSError:
        return None
    return found.st_dev, found.st_ino
