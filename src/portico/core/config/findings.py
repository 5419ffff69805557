"""Something wrong with a file, and how its place in the file is written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from portico.core.model.document import Document
from portico.errors import Problem

Path: TypeAlias = tuple[str | int, ...]
"""Keys of tables, and indices of lists from 0."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem whose place is still a path."""

    path: Path
    what: str
    hint: str | None = None

    def problem(self) -> Problem:
        return Problem(path_text(self.path), self.what, self.hint)


def path_text(path: Path) -> str:
    """A path as TOML writes its keys: `sites."app.localhost".aliases[0]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]+", step)
            text += "." * bool(text) + (step if bare else json.dumps(step, ensure_ascii=False))
    return text or "the file"


def nearest(name: str, names: Iterable[str], *, min_ratio: float = 0.6) -> str | None:
    """The name that was probably meant; `min_ratio` is how much of it must agree, 0 to 1."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a slip of the pen costs its time

    return next(iter(get_close_matches(name, [*names], n=1, cutoff=min_ratio)), None)


def did_you_mean(name: str | None) -> str | None:
    return f"did you mean {json.dumps(name, ensure_ascii=False)}?" if name else None


@dataclass(frozen=True, slots=True)
class Draft:
    """A document from which everything that was wrong by itself has been left out."""

    document: Document
    removed_paths: frozenset[Path] = frozenset()
    """What was left out; and tables with an unknown key, which may stand for any other."""
    incomplete: frozenset[Path] = frozenset()
    """What something was left out of, at any depth."""

    @classmethod
    def of(cls, document: Document, removed_paths: Iterable[Path]) -> Draft:
        left_out = frozenset(removed_paths)
        incomplete = (path[:depth] for path in left_out for depth in range(1, len(path) + 1))
        return cls(document, left_out, frozenset(incomplete))

    def may_be_set(self, path: Path, *keys: str) -> bool:
        """Whether the operator may have meant to set one of these keys of a table."""
        if not self.removed_paths:
            return False
        keyed = ((*path, key) for key in keys)
        return not (
            self.removed_paths.isdisjoint([(), path]) and self.incomplete.isdisjoint(keyed)
        )
