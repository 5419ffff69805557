"""Which machine obtains the certificates of a cluster: the one that holds the key `issuer`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from portico.core.model.shared import (
    ISSUER_CLAIM_KEY,
    ISSUER_KEY,
    PRESENCES,
    Holder,
    encode,
)
from portico.core.model.snapshot import ABSENT, Compare, Delete, Put
from portico.core.planning.issuer import (
    HANDOVER_TIME,
    MAX_UNREACHABLE_ATTEMPTS,
    RoleView,
    role_act,
)
from portico.engine.cluster.cluster_store import ClusterStore
from portico.errors import Failed, Refused
from portico.ports.clock import Clock
from portico.ports.store import SessionEnded, StoreUnavailable

CLAIM_TIMEOUT: Final = 120.0
"""Seconds: orders that are under way elsewhere end first."""
CLAIM_INTERVAL: Final = 0.2
NOT_CONNECTED: Final = (
    "this machine is not connected to the store of the cluster; nothing was changed"
)


class IssuerRole:
    """Bound to the session of a machine: it ends with it, or is given up."""

    def __init__(self, shared: ClusterStore, clock: Clock) -> None:
        self._shared, self._follower, self._clock = shared, shared.follower, clock
        self.ready_revision = 0
        """The revision of our key since which all that is shared was taken here."""
        self._unreachable = 0
        """Attempts in a row in which no authority was reached."""
        self._yields_until = 0.0
        """By the monotonic clock, until when others may have it."""

    @property
    def holder(self) -> str:
        """The machine that has it; empty if none does."""
        return self._machine(ISSUER_KEY)

    @property
    def claimant(self) -> str:
        """The machine that is to have it next; empty if none has claimed it."""
        return self._machine(ISSUER_CLAIM_KEY)

    def _machine(self, key: str) -> str:
        holder = self._follower.value(Holder, key)
        return holder.machine if holder else ""

    @property
    def fence(self) -> int:
        """The revision at which this machine got it; 0 where it does not have it for certain."""
        return self._shared.session.fence(ISSUER_KEY)

    @property
    def is_ready(self) -> bool:
        """Whether this machine has it, and all that was shared before."""
        return bool(self.fence) and self.ready_revision == self.fence

    def compares(self) -> list[Compare]:
        """True for as long as this machine has it. Raises Failed where it does not."""
        if not (fence := self.fence):
            raise Failed("this machine does not obtain the certificates of the cluster any more")
        return [Compare(ISSUER_KEY, created=fence)]

    def note_attempt(self, *, reached: bool) -> None:
        """Whether an authority answered."""
        self._unreachable = 0 if reached else self._unreachable + 1
        if self._unreachable >= MAX_UNREACHABLE_ATTEMPTS:
            self._unreachable = 0
            self._yields_until = self._clock.monotonic() + HANDOVER_TIME

    @property
    def is_yielding(self) -> bool:
        """Whether this machine has reached no authority, and another one is there to try."""
        others = self._follower.items_of(PRESENCES).keys() - {self._shared.machine}
        return bool(others) and self._clock.monotonic() < self._yields_until

    async def obtain(self, say: Callable[[str], None]) -> None:
        """Have it next, and wait until it is handed over. Raises Refused, and Failed."""
        await self._claim()
        if self.holder:
            say(f"waiting until {self.holder} lets this machine obtain the certificates")
        end = self._clock.monotonic() + CLAIM_TIMEOUT
        try:
            while not self.is_ready and self._clock.monotonic() < end:
                await self._clock.sleep(CLAIM_INTERVAL)
        finally:
            with suppress(StoreUnavailable):
                await self._withdraw()
        if self.holder not in {"", self._shared.machine}:
            raise Refused(
                f"{self.holder} obtains the certificates of the cluster, and did not hand this "
                f"over within {CLAIM_TIMEOUT:g} s; nothing was changed. Try again, or run the "
                f"command on {self.holder}"
            )

    async def _claim(self) -> None:
        self._yields_until = 0.0
        if self._is_own_claim:  # of another command
            return
        if not (session := self._shared.session.number):
            raise Failed(NOT_CONNECTED)
        claim = Put(ISSUER_CLAIM_KEY, encode(Holder(machine=self._shared.machine)), session)
        try:
            is_done = await self._shared.transaction([Compare(ISSUER_CLAIM_KEY, ABSENT)], [claim])
        except SessionEnded:
            raise Failed(NOT_CONNECTED) from None
        if is_done is None:
            other = self.claimant or "another machine"
            raise Refused(
                f"{other} is about to obtain the certificates of the cluster; nothing was "
                "changed. Try again"
            )

    async def _withdraw(self) -> None:
        if (item := self._follower.item(ISSUER_CLAIM_KEY)) and self._is_own_claim:
            own = [Compare(ISSUER_CLAIM_KEY, created=item.created)]
            await self._shared.transaction(own, [Delete(ISSUER_CLAIM_KEY)])

    @property
    def _is_own_claim(self) -> bool:
        return self.claimant == self._shared.machine

    async def update(self, *, needed: bool, is_busy: bool, is_interrupted: bool) -> None:
        """Get it if no machine has it, claim it to end what was interrupted here, or give it up.
        Raises StoreUnavailable, SessionEnded, Failed.
        """
        session, machine = self._shared.session.number, self._shared.machine
        view = RoleView(
            machine=machine,
            needed=needed and bool(session),
            is_own=bool(self.fence),
            holder=self.holder,
            claimant=self.claimant,
            is_busy=is_busy,
            is_yielding=self.is_yielding,
            is_interrupted=is_interrupted,
        )
        match role_act(view):
            case "take":
                put = Put(ISSUER_KEY, encode(Holder(machine=machine)), session)
                claim = [Delete(ISSUER_CLAIM_KEY)] if self._is_own_claim else []
                await self._shared.transaction([Compare(ISSUER_KEY, ABSENT)], [put, *claim])
            case "give up":
                await self._shared.transaction(self.compares(), [Delete(ISSUER_KEY)])
            case "claim":
                with suppress(Refused):  # another machine was first
                    await self._claim()
            case _:
                if self.is_ready:  # of a claim that was not followed yet when it was taken
                    await self._withdraw()
