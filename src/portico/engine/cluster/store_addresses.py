"""Where the members of etcd are, once that has changed: the file of this machine follows."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Final

from portico.core.model.shared import ENDPOINTS_KEY, StoreEndpoints
from portico.core.model.snapshot import endpoint
from portico.engine.cluster.cluster_store import ClusterStore
from portico.engine.cluster.store_follower import KeyChanges
from portico.engine.troubles import Troubles
from portico.errors import Failed, Refused
from portico.system.cluster_store import StoreFile, read_store, write_store
from portico.system.home import Home

SUBJECT: Final = "addresses of the cluster's store"
RETRY_INTERVAL: Final = 30.0


class StoreAddresses:
    def __init__(self, shared: ClusterStore, troubles: Troubles, home: Home) -> None:
        self._shared, self._troubles, self._home = shared, troubles, home
        self._woken = asyncio.Event()
        shared.follower.subscribe(SUBJECT, self._note)

    async def look(self) -> None:
        self._woken.clear()
        record = self._shared.follower.value(StoreEndpoints, ENDPOINTS_KEY)
        if record is None:
            return
        try:
            if file := await asyncio.to_thread(self._changed_file, record.urls):
                self._shared.store.use(record.urls)
                await asyncio.to_thread(write_store, self._home.cluster, file)
            self._troubles.resolve(SUBJECT)
        except (OSError, Failed, Refused) as error:
            self._troubles.report(SUBJECT, f"cannot use the {SUBJECT}: {error}; retrying")

    async def pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_INTERVAL if self._troubles.of(SUBJECT) else None):
                await self._woken.wait()

    def _changed_file(self, urls: tuple[str, ...]) -> StoreFile | None:
        """With these addresses; None where it has them. Raises Failed, Refused."""
        file = read_store(self._home)
        if file is None or tuple(file.endpoints) == urls or not urls:
            return None
        for each in urls:
            endpoint(each, plain=file.plain)
        return replace(file, endpoints=urls)

    def _note(self, changes: KeyChanges) -> None:
        if ENDPOINTS_KEY in changes:
            self._woken.set()
