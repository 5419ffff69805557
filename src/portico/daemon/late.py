"""Parts that most daemons never ask: a part is imported and made with the first question to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar, cast

T = TypeVar("T")


def late(make: Callable[[], T]) -> T:
    """Stands for what `make` returns, and calls it once, when an attribute is first read."""
    return cast("T", _Late(make))


class _Late:
    def __init__(self, make: Callable[[], object]) -> None:
        self._made = cache(make)

    def __getattr__(self, name: str) -> object:
        return getattr(self._made(), name)
