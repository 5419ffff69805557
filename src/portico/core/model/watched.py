"""The files of an app whose changes make a rollout."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WatchSettings:
    folder: str
    """The app's, absolute; patterns with a `/` start in it."""
    roots: tuple[str, ...]
    """Absolute paths of files, and of folders with all in them."""
    ignored: tuple[str, ...] = ()
    """Patterns, beside those that are ignored everywhere."""
    own: tuple[str, ...] = ()
    """Absolute paths that Portico writes to: folders, and files with the rotated ones of them."""
    user: str | None = None
    group: str | None = None
    """As whom the app runs, and with whose rights is looked."""


@dataclass(frozen=True, slots=True)
class WatchResult:
    """What was found since the last look."""

    changed: str = ""
    """A path that has changed; empty if none has."""
    trouble: str = ""
    """Why not everything can be watched, in words."""
