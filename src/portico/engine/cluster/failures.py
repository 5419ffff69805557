"""What is remembered of failed orders, and of when to renew, on all machines.

The machine that obtains certificates writes it, and the others take it, to go on where it ends.
"""

from __future__ import annotations

from portico.core.model.certificate import RenewalState
from portico.core.model.shared import FAILURES, failures_key
from portico.core.model.shared_certificates import failures_value, with_failures
from portico.core.model.snapshot import ABSENT, Compare, Put
from portico.engine.cluster.cluster_store import ClusterStore
from portico.engine.cluster.store_follower import Position
from portico.ports.state import State


class SharedFailures:
    def __init__(self, shared: ClusterStore, state: State) -> None:
        self._shared, self._state = shared, state
        self._positions: dict[str, Position] = {}
        """By lineage, where in the store what was taken or written last is."""

    def take(self) -> None:
        history = self._shared.follower.history
        for name, item in self._shared.follower.items_of(FAILURES).items():
            if self._positions.get(name) == (history, item.revision):
                continue
            known = self._state.renewal_state(name)
            if (renewal := with_failures(known, item.value)) != known:
                self._state.put_renewal_state(renewal)
            self._positions[name] = history, item.revision

    async def share(self, renewal: RenewalState, compares: list[Compare]) -> None:
        """Raises StoreUnavailable."""
        value, key = failures_value(renewal), failures_key(renewal.lineage)
        item = self._shared.follower.item(key)
        if item is None or item.value != value:
            written = await self._shared.transaction(compares, [Put(key, value)])
            self._positions[renewal.lineage] = written or (0, ABSENT)
