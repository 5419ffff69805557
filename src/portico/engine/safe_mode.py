"""A daemon that has died several times in a row begins with less, so that it can be talked to."""

from __future__ import annotations

import asyncio
from typing import Final

from portico.engine.troubles import Troubles

MAX_DEATHS: Final = 3
"""Deaths in a row."""
SUBJECT: Final = "safe mode"


class SafeMode:
    """While it is on, instances are adopted, started and stopped, and nothing else is done for
    them: they are not probed, files are not watched, logs not rotated, certificates not renewed.
    """

    def __init__(self, deaths: int, troubles: Troubles) -> None:
        self._troubles, self._off = troubles, asyncio.Event()
        if deaths < MAX_DEATHS:
            self._off.set()
            return
        troubles.report(
            SUBJECT,
            f"porticod crashed {deaths} times in a row and runs in safe mode, without checks, "
            "watching, log rotation and certificates. See porticod.log; `portico up` with a "
            "corrected file ends safe mode",
        )

    @property
    def is_on(self) -> bool:
        return not self._off.is_set()

    async def wait_until_off(self) -> None:
        """Return when it is off."""
        await self._off.wait()

    def end(self) -> None:
        """Another file is in force: what killed the daemon may be gone with the one before."""
        self._off.set()
        self._troubles.resolve(SUBJECT)
