"""Runs of apps with a schedule that were requested for now, by a command or another machine."""

from __future__ import annotations

from collections.abc import Iterable


class RequestedRuns:
    def __init__(self) -> None:
        self._apps: set[str] = set()

    def request(self, apps: Iterable[str]) -> None:
        self._apps |= set(apps)

    def withdraw(self, apps: Iterable[str]) -> frozenset[str]:
        """Those of these apps whose runs were not taken yet."""
        withdrawn = self._apps & set(apps)
        self._apps -= withdrawn
        return frozenset(withdrawn)

    def take(self) -> frozenset[str]:
        """Those requested since this was called last."""
        taken, self._apps = frozenset(self._apps), set()
        return taken
