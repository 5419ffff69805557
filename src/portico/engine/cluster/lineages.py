"""Certificates that the machines of a cluster share: taken from its store, and written to it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection
from itertools import chain, islice
from pathlib import Path
from typing import Final

from portico.core.model.certificate import Certificate, Provenance
from portico.core.model.shared import (
    CURRENT_LINEAGES,
    FAILURES,
    LINEAGES,
    ORDERS,
    current_key,
    decode,
    encode,
    failures_key,
    is_number,
    lineage_key,
    order_key,
)
from portico.core.model.shared_certificates import CurrentLineage, SharedLineage
from portico.core.model.snapshot import ABSENT, MAX_WRITES, Compare, Delete, Put, Write
from portico.core.planning.issuer import is_to_share, to_take
from portico.engine.cluster.cluster_store import ClusterStore
from portico.engine.engine import Engine
from portico.errors import Failed
from portico.ports.certificates import Lineages
from portico.ports.vault import Vault
from portico.system.text import read_text

log = logging.getLogger(__name__)

TAKEN_LINEAGES: Final = "shared_lineages"
"""Setting: by lineage, the number of the newest certificate taken or written here, as JSON."""
_UNCHANGED_TEXT: Final = "; this machine serves the certificate that it has"


class SharedLineages:
    def __init__(
        self, shared: ClusterStore, engine: Engine, lineages: Lineages, vault: Vault
    ) -> None:
        self._shared, self._follower = shared, shared.follower
        self._lineages, self._vault = lineages, vault
        self._clock, self._state, self._troubles = engine.clock, engine.state, engine.troubles
        self._numbers: dict[str, int] = json.loads(self._state.setting(TAKEN_LINEAGES) or "{}")

    def number(self, name: str) -> int:
        """Of the newest certificate that machines share; 0 for none."""
        current = self._current_lineage(name)
        return max(current.number if current else 0, self._numbers.get(name, 0))

    async def take(self, wanted: Collection[str]) -> bool:
        """Whether all could be taken that were to be. What is not wanted is taken once: it may
        have been forgotten here.
        """
        found = (
            (name, self._current_lineage(name))
            for name in self._follower.items_of(CURRENT_LINEAGES)
        )
        shared = {
            name: current
            for name, current in found
            if current and (name in wanted or current.number > self._numbers.get(name, 0))
        }
        here = {name: held.not_before for name in shared if (held := self._lineages.held(name))}
        is_whole = True
        for name, number in list(to_take(shared, self._numbers, here, self._clock.now())):
            is_taken = False
            with self._troubles.fence(f"certificate {name} of the cluster"):
                await self._take(name, number)
                is_taken = True
            is_whole &= is_taken
        return is_whole

    async def _take(self, name: str, number: int) -> None:
        key = lineage_key(name, number)
        if (item := self._follower.item(key)) is None:
            raise Failed(f"{key} is missing in the store{_UNCHANGED_TEXT}")
        opened = await self._vault.open(self._follower.prefix + key, item.value)
        if (shared := decode(SharedLineage, opened)) is None:
            raise Failed(f"{key} of the store cannot be read{_UNCHANGED_TEXT}")
        provenance = Provenance(shared.issuer, shared.profile, staging=shared.staging)
        stored = await self._lineages.take(
            name, shared.names, shared.chain, shared.key, provenance
        )
        if self._lineages.current(name) is None:  # nginx serves nothing better
            await self._lineages.switch(name, stored.generation)
        self._remember(name, number)
        log.info("certificate %s: taken from the cluster, serial %s", name, stored.serial)

    async def share(self, name: str, compares: list[Compare]) -> None:
        """Write the certificate held here, if it is newer. Raises StoreUnavailable."""
        held, current = self._lineages.held(name), self._current_lineage(name)
        if held is None or not is_to_share(
            held, current, self._numbers.get(name, 0), self._clock.now()
        ):
            return
        number = self.number(name) + 1
        item, key = self._follower.item(current_key(name)), lineage_key(name, number)
        record = CurrentLineage(
            number=number,
            serial=held.serial,
            not_before=held.not_before,
            not_after=held.not_after,
        )
        sealed = await self._vault.seal(
            self._follower.prefix + key, encode(await _shared_lineage(held))
        )
        writes: list[Write] = [
            Put(key, sealed),
            Put(current_key(name), encode(record)),
            Delete(order_key(name)),
        ]
        writes += [Delete(f"{LINEAGES}{each}") for each in self._older_keys(name, number - 1)]
        seen = Compare(current_key(name), item.revision if item else ABSENT)
        if await self._shared.transaction([*compares, seen], writes) is not None:
            self._remember(name, number)
            log.info("certificate %s: given to the cluster, serial %s", name, held.serial)

    def _older_keys(self, name: str, number: int) -> list[str]:
        """Those before a number: one is kept for machines that are about to read it."""
        numbers = self._follower.items_of(f"{LINEAGES}{name}/")
        older = (each for each in numbers if is_number(each) and int(each) < number)
        return [f"{name}/{each}" for each in islice(older, MAX_WRITES)]

    async def prune(self, wanted: Collection[str], compares: list[Compare]) -> None:
        """Remove what has expired, and what never came of an order, and no site uses. Raises
        StoreUnavailable.
        """
        for name in self._follower.items_of(CURRENT_LINEAGES):
            current = self._current_lineage(name)
            if name in wanted or not current or self._clock.now() < current.not_after:
                continue
            keys = [current_key(name), failures_key(name), order_key(name)]
            keys += [f"{LINEAGES}{each}" for each in self._older_keys(name, current.number + 1)]
            await self._shared.transaction(compares, [Delete(key) for key in keys])
        known = {*wanted, *self._follower.items_of(CURRENT_LINEAGES)}
        orders = (order_key(name) for name in self._follower.items_of(ORDERS) if name not in known)
        failures = (
            failures_key(name) for name in self._follower.items_of(FAILURES) if name not in known
        )
        if unused := [*map(Delete, islice(chain(orders, failures), MAX_WRITES))]:
            await self._shared.transaction(compares, unused)

    def _remember(self, name: str, number: int) -> None:
        self._numbers[name] = number
        self._state.put_setting(TAKEN_LINEAGES, json.dumps(self._numbers))

    def _current_lineage(self, name: str) -> CurrentLineage | None:
        return self._follower.value(CurrentLineage, current_key(name))


async def _shared_lineage(held: Certificate) -> SharedLineage:
    chain = await asyncio.to_thread(read_text, Path(held.files.certificate))
    key = await asyncio.to_thread(read_text, Path(held.files.key))
    return SharedLineage(
        names=held.names,
        chain=chain,
        key=key,
        issuer=held.issuer,
        profile=held.profile,
        staging=held.staging,
    )
