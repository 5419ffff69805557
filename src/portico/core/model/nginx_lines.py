"""An operator's own file of nginx lines, as the tree that nginx reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One directive. What an `include` includes stands in its place; one that is still there could
    not be read.
    """

    name: str
    args: tuple[str, ...]
    file: str
    number: int
    block: tuple[Line, ...] | None = None

    @property
    def where(self) -> str:
        return f"{self.file}:{self.number}"


def walk(line: Line) -> Iterator[Line]:
    """It and all that is in it."""
    yield line
    for inner in line.block or ():
        yield from walk(inner)
