"""Lines of logs, in the order of their times."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from portico.core.model.log_times import time_of


@dataclass(frozen=True, slots=True)
class LogLine:
    at: float
    """Unix time: its own, or that of the line before it, or when its file was written last."""
    is_exact: bool
    """Whether it or a line before it in the file says its time."""
    text: str


def parse_lines(texts: Sequence[str], written: float) -> Iterator[LogLine]:
    """The lines of a file, which was written last at that time."""
    at, is_exact = 0.0, False
    for text in texts:
        own = time_of(text)
        # A clock that was set back must not take lines out of their order in the file.
        at = max(at, own) if own is not None else at if is_exact else written
        is_exact = is_exact or own is not None
        yield LogLine(at, is_exact, text)


def merge_lines(sources: Sequence[Iterator[LogLine]]) -> Iterator[tuple[int, LogLine]]:
    """Of several, each by its number, in the order of their times."""
    numbered = [_number(number, lines) for number, lines in enumerate(sources)]
    for _, number, line in heapq.merge(*numbered, key=lambda each: each[:2]):
        yield number, line


def _number(number: int, lines: Iterator[LogLine]) -> Iterator[tuple[float, int, LogLine]]:
    for line in lines:
        yield line.at, number, line


class LogTail(NamedTuple):
    modified_at: float
    """When the file was written last, Unix time."""
    lines: Sequence[str]
