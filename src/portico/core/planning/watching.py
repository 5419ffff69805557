"""When changes of files make a rollout, and which changes do not count."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from portico.core.model.watched import WatchSettings

MAX_WAIT: Final = 60.0
"""Seconds after which a rollout begins though files go on changing: an app that writes to what is
watched must not keep a change of its program from it."""
LOOP_ROLLOUTS: Final = 5
LOOP_TIME: Final = 60.0
"""Seconds within which so many rollouts are a loop: an app that writes to what is watched."""
IGNORED_PATHS: Final = (
    ".git",
    ".hg",
    ".svn",
    "node_modules",
    "__pycache__",
    "*.pyc",
    "logs",
    "*.log",
    "*.log.[0-9]*",
    # what editors write beside the file that is edited
    ".*.sw[a-z]",
    "*~",
    ".#*",
    "#*#",
    "4913",  # vim tries with it whether it may write
    "___jb_*",
    ".DS_Store",
)
_OWN_SUFFIX = re.compile(r"(/.*|\.[0-9].*)?", re.DOTALL)
_SIGN = re.compile(r"(\*\*/|\*\*|\*|\?|\[[^]/]+\])")


@dataclass(frozen=True, slots=True)
class PendingRestart:
    """Changes that no rollout has begun for. Times are seconds of one clock."""

    path: str
    """The first of them."""
    first: float
    last: float


def with_change(pending: PendingRestart | None, path: str, now: float) -> PendingRestart:
    """With one more change."""
    return replace(pending, last=now) if pending else PendingRestart(path, now, now)


def is_due(pending: PendingRestart, delay: float, now: float) -> bool:
    """Whether a rollout should begin: after the changes it was quiet for `delay` seconds."""
    return now - pending.last >= delay or now - pending.first >= MAX_WAIT


def is_loop(begun: Sequence[float], now: float) -> bool:
    """Whether rollouts that began at these moments follow each other without an end."""
    return sum(now - moment < LOOP_TIME for moment in begun) >= LOOP_ROLLOUTS


def is_ignored(path: str, watched: WatchSettings) -> bool:
    """Whether a change of this path counts for nothing.

    A pattern with a `/` is a path from the app's folder, or an absolute one; any other is the name
    of a file or folder anywhere below what is watched. What is in an ignored folder is ignored.
    """
    if any(path.startswith(own) and _OWN_SUFFIX.fullmatch(path, len(own)) for own in watched.own):
        return True
    inside = min((_path_below(root, path) for root in watched.roots), key=len)
    below = posixpath.relpath(path, watched.folder)
    for pattern in (*IGNORED_PATHS, *watched.ignored):
        if "/" not in pattern.rstrip("/"):
            found = _matches(f"**/{pattern}", inside)
        else:
            found = _matches(pattern, path if pattern.startswith("/") else below)
        if found:
            return True
    return False


def _path_below(root: str, path: str) -> str:
    """The part of a path below a watched one; all of it if it is somewhere else."""
    if path == root:
        return ""
    return path.removeprefix(root.rstrip("/") + "/")


def _matches(pattern: str, path: str) -> bool:
    return _expression(pattern).fullmatch(path) is not None


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    """`*`, `?` and `[a-z]` as a shell has them, `**` for any number of folders."""
    signs = _SIGN.split(posixpath.normpath(pattern))
    return re.compile("".join(map(_meaning, signs)) + "(?:/.*)?", re.DOTALL)


def _meaning(sign: str) -> str:
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if sign.startswith("[") and sign.endswith("]"):
        inner = sign[1:-1].replace("\\", r"\\").replace("[", r"\[")
        inner = f"^{inner[1:]}" if inner[0] in "!^" else inner
        with suppress(re.error):  # "[z-a]" means itself
            return re.compile(f"[{inner}]").pattern
    return known.get(sign) or re.escape(sign)
