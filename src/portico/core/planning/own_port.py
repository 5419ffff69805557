"""The port of a program that listens where it likes and not on `$PORT` (`find_port`)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from portico.core.model.app import App
from portico.core.model.instance import Instance, ListeningPort

SETTLE_TIME: Final = 1.0
"""Seconds for which it has to be the same port: `$PORT` may be what it opens next."""
_REACHABLE_ADDRESSES: Final = frozenset({"127.0.0.1", "*"})
_DEBUGGER: Final = range(9229, 9240)
_FIRST_EPHEMERAL: Final = 32768
"""From here on Linux gives out ports that nobody asked for (ip_local_port_range)."""


def own_port(listening: Collection[ListeningPort], offered: int) -> int:
    """The port to send requests to; 0 if it is the offered one, or none is open yet.

    Of several it is the lowest: a web server has 3000 or 8080, a debugger 9229.
    """
    found = {each.port for each in listening if each.address in _REACHABLE_ADDRESSES}
    if offered in found:
        return 0
    named = {port for port in found - {*_DEBUGGER} if port < _FIRST_EPHEMERAL}
    return min(named or found, default=0)


class OwnPortSearch:
    """The looks at one process."""

    def __init__(self) -> None:
        self._port, self._since = 0, 0.0

    def settled_port(self, listening: Collection[ListeningPort], offered: int, now: float) -> int:
        """The port once it was the same for long enough; until then 0."""
        port = own_port(listening, offered)
        if port != self._port:
            self._port, self._since = port, now
        return port if now - self._since >= SETTLE_TIME else 0


def holds_own_port(i: Instance, app: App) -> bool:
    """Whether a second one could not start beside it; one without a port may hold any."""
    return app.find_port and not app.port_fallback and (i.own_port or i.port == 0)
