"""The ledger of what authorities count, of all machines: lines that are only ever added.

Each machine has all of them in its own database, where orders are decided. A line is the same on
all machines, and has the same key in the store whoever writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from portico.core.model.certificate import ISSUE_COUNT_PERIOD, Entry
from portico.core.model.shared import LEDGER, ledger_key
from portico.core.model.shared_certificates import ledger_entry, ledger_item
from portico.core.model.snapshot import MAX_WRITES, Compare, Delete, Put, Write
from portico.core.planning.issuer import usable_entries
from portico.engine.cluster.cluster_store import ClusterStore
from portico.ports.clock import Clock
from portico.ports.state import State


class SharedLedger:
    def __init__(self, shared: ClusterStore, state: State, clock: Clock) -> None:
        self._shared, self._state, self._clock = shared, state, clock
        self._lines: dict[str, tuple[str, Entry]] = {}
        """Lines of the store, by key, each with the key that it has here: another Portico, whose
        lines have more fields, writes it under another one.
        """
        self._own_values: dict[str, bytes] = {}
        """Values of the lines here, by key, as of the newest one."""
        self._last_entry = -1
        self.until = 0.0
        """The latest moment in it."""

    def take(self) -> None:
        """Add here what other machines have written."""
        items = self._shared.follower.items_of(LEDGER)
        read = {}
        for key, item in items.items():
            if line := self._lines.get(key) or _line(item.value):
                read[key] = line
        self._lines, lines = read, dict(read.values())
        self.until = max((entry.at for entry in lines.values()), default=0.0)
        own = frozenset(self._own_lines())
        oldest = self._clock.now() - ISSUE_COUNT_PERIOD
        new = usable_entries(lines, own, self._clock.now())
        if new := [entry for entry in new if entry.at >= oldest]:
            self._state.add_ledger(new)

    async def share(self, compares: list[Compare]) -> bool:
        """Write what the store does not have. False where a comparison was not true; then lines
        are missing. Raises StoreUnavailable.
        """
        known = self._shared.follower.items_of(LEDGER)
        read = {line[0] for key, line in self._lines.items() if key in known}
        oldest = ledger_key(self._clock.now() - ISSUE_COUNT_PERIOD, "")
        missing = [
            Put(key, value)
            for key, value in self._own_lines().items()
            if key >= oldest and key[len(LEDGER) :] not in known and key not in read
        ]
        for batch in _batches(missing):
            if await self._shared.transaction(compares, batch) is None:
                return False
        return True

    async def prune(self, compares: list[Compare]) -> None:
        """Remove lines that nothing counts any more. Raises StoreUnavailable."""
        oldest = ledger_key(self._clock.now() - ISSUE_COUNT_PERIOD, "")
        keys = (f"{LEDGER}{rest}" for rest in self._shared.follower.items_of(LEDGER))
        old = [Delete(key) for key in keys if key < oldest]
        if batch := old[:MAX_WRITES]:
            await self._shared.transaction(compares, batch)

    def _own_lines(self) -> dict[str, bytes]:
        if self._last_entry != (last := self._state.last_entry()):
            entries = self._state.ledger_since(self._clock.now() - ISSUE_COUNT_PERIOD)
            self._own_values, self._last_entry = dict(map(ledger_item, entries)), last
        return self._own_values


def _line(value: bytes) -> tuple[str, Entry] | None:
    entry = ledger_entry(value)
    return (ledger_item(entry)[0], entry) if entry else None


def _batches(writes: list[Put]) -> Iterator[list[Write]]:
    each = iter(writes)
    while batch := list[Write](islice(each, MAX_WRITES)):
        yield batch
