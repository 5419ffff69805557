"""The first machine of a cluster: the store is asked, and then has the cluster's record."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from portico.core.model.member_views import ClusterRequest, MembershipView
from portico.core.model.shared import (
    CLUSTER_KEY,
    KEEPER_KEY,
    SCHEMA,
    ClusterRecord,
    Keeper,
    SharedMachine,
    encoded,
    machine_key,
)
from portico.core.model.snapshot import ABSENT, Compare, Put, StoreAddress, StoreUser, Write
from portico.core.planning.mirroring import prefix_of
from portico.core.planning.store_permissions import keeper_name, machine_permissions
from portico.errors import Failed, PorticoError, Refused
from portico.ports.store import AdministeredStore, OutcomeUnknown, Store, StoreUnavailable
from portico.ports.vault import Vault
from portico.system.cluster_identity import AUTHORITY, CERTIFICATE, KEY
from portico.system.cluster_store import KEY_FILE, STORE, StoreFile, read_store_of

_CLUSTER_RECORD: Final = re.compile(r"/portico/([^/]+)/cluster")


def _store_file(folder: Path) -> StoreFile:
    if file := read_store_of(folder):
        return file
    raise Failed(f"there is no {folder / STORE}; nothing was changed")


class ClusterCreation:
    def __init__(
        self,
        open_store: Callable[[StoreAddress], AdministeredStore],
        open_vault: Callable[[str], Vault],
    ) -> None:
        """`open_vault` is given the path of the cluster's key."""
        self._open_store, self._open_vault = open_store, open_vault

    async def create(self, request: ClusterRequest) -> MembershipView:
        """Raises Refused and StoreUnavailable, with nothing changed, and OutcomeUnknown."""
        folder = Path(request.folder)
        file = await asyncio.to_thread(_store_file, folder)
        store = await asyncio.to_thread(self._store, folder, file, request)
        try:
            await self._assert_free(store, request)
            if request.user:
                own = StoreUser(file.user, file.password)
                await self._write_with_users(store, request, own, folder)
            else:
                await self._write(store, request, [])
        finally:
            await store.close()
        return MembershipView(cluster=request.cluster, name=request.name)

    def _store(self, folder: Path, file: StoreFile, request: ClusterRequest) -> AdministeredStore:
        """As it is open to the operator."""
        address = StoreAddress(
            file.endpoints,
            str(folder / AUTHORITY),
            str(folder / request.serial / CERTIFICATE),
            str(folder / request.serial / KEY),
            request.user,
            request.password,
            file.authority,
        )
        return self._open_store(address)

    async def _assert_free(self, store: Store, request: ClusterRequest) -> None:
        try:
            found = await store.snapshot("/portico/")
        except StoreUnavailable as error:
            raise StoreUnavailable(f"{error}; nothing was changed") from None
        others = [match[1] for key in found.items if (match := _CLUSTER_RECORD.fullmatch(key))]
        if others and not request.another:
            raise Refused(
                f"etcd has the data of cluster {', '.join(others)}; nothing was changed. To add "
                "this machine to it, run `portico cluster token` on one of its machines; --force "
                "creates another cluster there"
            )

    async def _write_with_users(
        self, store: AdministeredStore, request: ClusterRequest, own: StoreUser, folder: Path
    ) -> None:
        """None of them is left where the cluster is not created."""
        if not await store.has_users():
            raise Refused(
                "etcd does not ask for users, because its authentication is not enabled; nothing "
                "was changed. Run `etcdctl auth enable`, or leave out --user"
            )
        keeper = Keeper(user=keeper_name(request.cluster, request.serial), password=token_hex(32))
        vault = self._open_vault(str(folder / KEY_FILE))
        sealed = await vault.seal(KEEPER_KEY, encoded(keeper))
        try:
            await store.add_user(StoreUser(keeper.user, keeper.password), [])
            await store.add_user(own, machine_permissions(request.cluster, request.name))
            await self._write(
                store, request, [Put(prefix_of(request.cluster) + KEEPER_KEY, sealed)]
            )
        except OutcomeUnknown:
            raise
        except PorticoError:
            with suppress(Failed):
                await store.remove_user(own.name)
                await store.remove_user(keeper.user)
            raise

    async def _write(self, store: Store, request: ClusterRequest, more: Sequence[Write]) -> None:
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
                *more,
            ],
        )
        if done is None:
            raise Refused(
                f"etcd has a cluster {request.cluster} already; nothing was changed. If no "
                "machine is in it, because an earlier `init` was not confirmed, delete it with "
                f"`etcdctl del --prefix {prefix}`"
            )
