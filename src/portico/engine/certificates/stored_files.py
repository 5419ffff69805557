"""What is kept on disk is compared, now and then, with what it was made of, and made again.

A file of a certificate that was lost or changed is no longer given to nginx, and obtained again; a
certificate of the local authority is renewed, though nothing else makes nginx's files be rendered.
"""

from __future__ import annotations

from typing import Final

from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.engine.troubles import Troubles
from portico.ports.certificates import Lineages

CHECK_INTERVAL: Final = 3600.0
"""Seconds. A certificate of the local authority lives for ninety days."""


class StoredFiles:
    def __init__(self, engine: Engine, in_force: InForce, lineages: Lineages) -> None:
        self._intent, self._in_force, self._lineages = engine.intent, in_force, lineages
        self._clock, self._troubles = engine.clock, engine.troubles
        self._checked = engine.clock.monotonic()
        """All was read, and rendered, when the daemon started."""

    async def pause(self) -> None:
        await self._clock.sleep(CHECK_INTERVAL)

    async def look(self) -> None:
        """Raises PorticoError where nginx does not take what is rendered then."""
        if self._clock.monotonic() - self._checked < CHECK_INTERVAL:
            return
        found = await self._lineages.load()
        for name in self._lineages.names():
            if name not in found:
                self._troubles.resolve(files_of(name))
        for name, wrong in found.items():
            report_files(self._troubles, name, wrong)
        if self._intent.revisions:
            await self._in_force.render_without_waiting()


def report_files(troubles: Troubles, name: str, wrong: str) -> None:
    of = f"certificate {name}"
    troubles.report(files_of(name), f"{of}: {wrong}", of=of)


def files_of(name: str) -> str:
    """The subject of what is wrong with them."""
    return f"files of {name}"
