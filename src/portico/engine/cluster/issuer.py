"""Which machine obtains the certificates of a cluster: the one that holds the key `issuer`."""

from __future__ import annotations

from portico.core.model.shared import ISSUER_KEY, Holder, encoded
from portico.core.model.stored import ABSENT, Compare, Delete, Put
from portico.engine.cluster.assembly import Shared
from portico.errors import Failed


class IssuerRole:
    """Bound to the session of a machine: it ends with it, or is given up."""

    def __init__(self, shared: Shared) -> None:
        self._shared, self._following = shared, shared.following

    @property
    def holder(self) -> str:
        """The machine that has it; empty if none does."""
        holder = self._following.value(Holder, ISSUER_KEY)
        return holder.machine if holder else ""

    @property
    def fence(self) -> int:
        """The revision at which this machine got it; 0 where it does not have it for certain."""
        item, session = self._following.item(ISSUER_KEY), self._shared.session.number
        return item.created if item and session and item.session == session else 0

    def compares(self) -> list[Compare]:
        """True for as long as this machine has it. Raises Failed where it does not."""
        if not (fence := self.fence):
            raise Failed("this machine does not obtain the certificates of the cluster any more")
        return [Compare(ISSUER_KEY, created=fence)]

    async def update(self, *, needed: bool) -> None:
        """Get it if no machine has it, or give it up. Raises StoreUnavailable, SessionEnded."""
        session = self._shared.session.number
        if needed and session and self._following.item(ISSUER_KEY) is None:
            holder = encoded(Holder(machine=self._shared.machine))
            await self._shared.transaction(
                [Compare(ISSUER_KEY, ABSENT)], [Put(ISSUER_KEY, holder, session)]
            )
        elif self.fence and not needed:
            await self._shared.transaction(self.compares(), [Delete(ISSUER_KEY)])
