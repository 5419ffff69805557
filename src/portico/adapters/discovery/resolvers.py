"""Who asks where an app is, and the last answer that each got."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from portico.system.socket_table import Address

ACTIVE_TIME: Final = 3.0
"""Seconds. An asker asks every second (TTL 0), after a lost answer every two."""


@dataclass(frozen=True, slots=True)
class LastAnswer:
    version: int
    at: float


class Resolvers:
    """An asker is one worker of one generation of nginx, for one `upstream` block.

    nginx has one worker of each generation keep an upstream's peers, which lie in memory that
    all workers of the generation share. It asks from one UDP port for as long as it lives, and
    goes on asking while it shuts down after a reload. So nginx has acknowledged an answer when
    every port that asked within the last seconds has had it.
    """

    def __init__(self) -> None:
        self._asking: dict[str, dict[Address, LastAnswer]] = {}
        self._acknowledged: dict[str, tuple[int, float]] = {}

    def acknowledged_version(self, app: str) -> tuple[int, float]:
        return self._acknowledged.get(app, (0, 0.0))

    def askers(self, app: str) -> Iterable[Address]:
        """Who has asked where the app is within the last seconds."""
        return self._asking.get(app, ())

    def record_answer(self, app: str, asker: Address, version: int, now: float) -> None:
        asking = self._asking.get(app, {}) | {asker: LastAnswer(version, now)}
        active = {port: one for port, one in asking.items() if now - one.at <= ACTIVE_TIME}
        self._asking[app] = active
        all_ports = min(one.version for one in active.values())
        if all_ports > self.acknowledged_version(app)[0]:
            self._acknowledged[app] = all_ports, now

    def forget(self, app: str) -> None:
        self._asking.pop(app, None)
        self._acknowledged.pop(app, None)
