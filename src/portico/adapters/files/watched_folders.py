"""Where files are looked for: the roots that are watched, and the folders below them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from portico.core.model.watched import WatchSettings
from portico.core.planning.watching import is_ignored

Identity = tuple[int, int]
"""Device and number of a file."""


def watched_folders(watched: WatchSettings, roots: Iterable[str]) -> list[str]:
    """The roots, and every folder below them whose files count. Links below them are not followed:
    they may lead anywhere, and in circles.
    """
    found: dict[str, None] = {}
    waiting = list(roots)
    while waiting:
        path = waiting.pop()
        found[path] = None
        waiting += (folder for folder in _folders(path) if not is_ignored(folder, watched))
    return list(found)


def identity(path: str) -> Identity | None:
    """Of what is at a path, at the end of links; None if nothing is."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path for each look would be waste
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_utf8(path: str) -> bool:
    """Other paths cannot be watched: watchfiles takes text."""
    return path.isascii() or not any("\udc80" <= each <= "\udcff" for each in path)


def is_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)  # noqa: PTH112, PTH114 - as above


def _folders(path: str) -> Iterator[str]:
    """None in what is no folder, is gone, or may not be read."""
    with suppress(OSError), os.scandir(path) as entries:
        yield from (entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
