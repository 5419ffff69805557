"""Says in the store that this machine is there, for as long as its daemon runs.

Nobody is removed because this ends: it tells operators, and it is what turns are bound to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from portico.core.model.shared import present_key
from portico.core.model.snapshot import Put
from portico.engine.cluster.store_follower import StoreFollower
from portico.engine.troubles import Troubles
from portico.errors import Failed
from portico.ports.clock import Clock
from portico.ports.store import OutcomeUnknown, SessionEnded

DURATION: Final = 15
"""Seconds after which a session ends that nobody keeps."""
MARGIN: Final = 3.0
"""Seconds before that after which nothing is begun here that needs it: what was begun before is
written by then.
"""
INTERVAL: Final = 5.0
FIRST_INTERVAL: Final = 0.5
"""As long as there is no session."""
RETRY_INTERVAL: Final = 2.0
SUBJECT: Final = "presence of this machine in the cluster's store"


@dataclass(frozen=True, slots=True)
class SessionOwner:
    """The machine that a session is of."""

    machine: str
    presence: Callable[[], bytes]
    """What the others are shown of it."""
    is_member: Callable[[], bool]
    """One that is no member leaves nothing in the store."""


class Session:
    def __init__(
        self, owner: SessionOwner, follower: StoreFollower, troubles: Troubles, clock: Clock
    ) -> None:
        """In the store that is followed."""
        self._owner, self._store, self._follower = owner, follower.store, follower
        self._troubles, self._clock = troubles, clock
        self._has_ended = False
        self._number = 0
        self._kept = 0.0

    def is_held(self) -> bool:
        """Whether it lasts for certain, by this machine's own clock."""
        return bool(self._number) and self._clock.monotonic() < self._kept + DURATION - MARGIN

    @property
    def number(self) -> int:
        """What keys are bound to that end with it. 0 where it is not held."""
        return self._number if self.is_held() else 0

    def fence(self, key: str) -> int:
        """The revision at which a key came to it; 0 where that is not certain."""
        item, number = self._follower.item(key), self.number
        return item.created if item and number and item.session == number else 0

    async def look(self) -> None:
        if self._follower.trouble or self._has_ended:
            self._troubles.resolve(SUBJECT)
            return
        try:
            await (self._keep() if self._owner.is_member() else self._end())
        except SessionEnded:
            self._number = 0
        except OutcomeUnknown:
            return  # what was to be written is written again
        except Failed as error:
            if not self._follower.trouble:  # that of what follows the store says it, too
                self._troubles.report(SUBJECT, f"{SUBJECT}: {error}")
        else:
            self._troubles.resolve(SUBJECT)

    async def pause(self) -> None:
        is_late = self._clock.monotonic() - self._kept >= INTERVAL
        usual = RETRY_INTERVAL if is_late else INTERVAL
        await self._clock.sleep(usual if self._number else FIRST_INTERVAL)

    async def end(self) -> None:
        """The daemon exits. Raises StoreUnavailable; then it ends by itself."""
        self._has_ended = True
        await self._end()

    async def _end(self) -> None:
        number, self._number = self._number, 0
        if number:
            await self._store.end_session(number)

    async def _keep(self) -> None:
        asked = self._clock.monotonic()
        if self._number:
            await self._store.keep_session(self._number)
        else:
            self._number = await self._store.open_session(DURATION)
        self._kept = asked
        key, presence = present_key(self._owner.machine), self._owner.presence()
        item = self._follower.item(key)
        if item is None or (item.value, item.session) != (presence, self._number):
            put = Put(self._follower.prefix + key, presence, self._number)
            await self._store.transaction([], [put])
