"""The first machine of a cluster: the store is asked, and then has the cluster's record."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from portico.core.model.member_views import ClusterRequest, MembershipView
from portico.core.model.shared import (
    CLUSTER_KEY,
    SCHEMA,
    ClusterRecord,
    SharedMachine,
    encoded,
    machine_key,
)
from portico.core.model.stored import ABSENT, Compare, Put, StoreAddress
from portico.core.planning.mirroring import prefix_of
from portico.errors import Failed, Refused
from portico.ports.store import Store
from portico.system.cluster_identity import AUTHORITY, CERTIFICATE, KEY
from portico.system.cluster_store import STORE, read_store_of

_RECORDS: Final = re.compile(r"/portico/([^/]+)/cluster")


class Founding:
    def __init__(self, open_store: Callable[[StoreAddress], Store]) -> None:
        self._open_store = open_store

    async def create(self, request: ClusterRequest) -> MembershipView:
        """Raises Refused and StoreUnavailable, with nothing changed, and OutcomeUnknown."""
        folder = Path(request.folder)
        store = await asyncio.to_thread(self._store, folder, request.serial)
        try:
            await self._assert_free(store, request)
            await self._write(store, request)
        finally:
            await store.close()
        return MembershipView(cluster=request.cluster, name=request.name)

    def _store(self, folder: Path, serial: str) -> Store:
        file = read_store_of(folder)
        if file is None:
            raise Failed(f"there is no {folder / STORE}; nothing was changed")
        address = StoreAddress(
            file.endpoints,
            str(folder / AUTHORITY),
            str(folder / serial / CERTIFICATE),
            str(folder / serial / KEY),
            file.user,
            file.password,
        )
        return self._open_store(address)

    async def _assert_free(self, store: Store, request: ClusterRequest) -> None:
        found = await store.snapshot("/portico/")
        others = [match[1] for key in found.items if (match := _RECORDS.fullmatch(key))]
        if others and not request.another:
            raise Refused(
                f"etcd has the data of cluster {', '.join(others)}; nothing was changed. To add "
                "this machine to it, run `portico cluster token` on one of its machines; --force "
                "creates another cluster there"
            )

    async def _write(self, store: Store, request: ClusterRequest) -> None:
        prefix = prefix_of(request.cluster)
        machine = SharedMachine(
            address=request.address,
            port=request.port,
            labels=request.labels,
            serial=request.serial,
        )
        record = prefix + CLUSTER_KEY
        done = await store.transaction(
            [Compare(record, ABSENT)],
            [
                Put(record, encoded(ClusterRecord(least=SCHEMA))),
                Put(prefix + machine_key(request.name), encoded(machine)),
            ],
        )
        if done is None:
            raise Refused(f"etcd has a cluster {request.cluster} already; nothing was changed")
