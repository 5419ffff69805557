"""The users that machines have in a store that has users: one for each certificate.

Those who may create them are the machines themselves, by a user of the cluster, the keeper, whose
password is in the store, encrypted with the key of the cluster. So no machine keeps the password
that the operator gave when the cluster was created.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from portico.core.model.shared import KEEPER_KEY, MACHINES, Keeper, SharedMachine, decode
from portico.core.model.snapshot import StoreUser
from portico.core.planning.store_permissions import (
    machine_password,
    machine_permissions,
    machine_user_name,
)
from portico.engine.cluster.cluster_store import ClusterStore
from portico.errors import Failed
from portico.ports.store import AdministeredStore
from portico.ports.vault import Vault


class MachineUsers:
    def __init__(
        self,
        shared: ClusterStore,
        vault: Vault,
        open_as: Callable[[StoreUser], AdministeredStore],
        cluster_key: Callable[[], bytes],
    ) -> None:
        """`cluster_key` reads it from a file."""
        self._shared, self._vault, self._open_as = shared, vault, open_as
        self._cluster_key = cluster_key

    def are_needed(self) -> bool:
        """Whether the cluster was created with a user."""
        return self._shared.follower.item(KEEPER_KEY) is not None

    async def add(self, machine: str, serial: str) -> StoreUser:
        """Raises StoreUnavailable, Failed."""
        async with self.keeper() as store:
            return await self._add(store, machine, serial)

    async def _add(self, store: AdministeredStore, machine: str, serial: str) -> StoreUser:
        name = self.name_of(machine, serial)
        user = StoreUser(name, machine_password(await asyncio.to_thread(self._cluster_key), name))
        await store.add_user(user, machine_permissions(self._shared.cluster, machine))
        return user

    async def restore(self) -> bool:
        """Make those of all machines again, in an etcd that has lost them. Whether it asks for
        them. Raises as `add` does.
        """
        if not self.are_needed():
            return True
        machines = self._shared.follower.values(SharedMachine, MACHINES)
        async with self.keeper() as store:
            await store.add_user(await self._keeper(), [])
            for name, each in machines.items():
                await self._add(store, name, each.serial)
            return await store.has_users()

    async def remove(self, *names: str) -> None:
        """Nothing where the cluster was created without a user. Raises as `add` does."""
        if not self.are_needed():
            return
        async with self.keeper() as store:
            for name in names:
                await store.remove_user(name)

    def name_of(self, machine: str, serial: str) -> str:
        return machine_user_name(self._shared.cluster, machine, serial)

    @asynccontextmanager
    async def writer(self) -> AsyncGenerator[AdministeredStore, None]:
        """The store, by who may write all keys of the cluster. Raises Failed."""
        if self.are_needed():
            async with self.keeper() as store:
                yield store
        else:
            yield self._shared.store

    @asynccontextmanager
    async def keeper(self) -> AsyncGenerator[AdministeredStore, None]:
        """The store, as it is open to the keeper. Raises Failed."""
        store = self._open_as(await self._keeper())
        try:
            yield store
        finally:
            await store.close()

    async def _keeper(self) -> StoreUser:
        item = self._shared.follower.item(KEEPER_KEY)
        opened = await self._vault.open(KEEPER_KEY, item.value) if item else b""
        if keeper := decode(Keeper, opened):
            return StoreUser(keeper.user, keeper.password)
        raise Failed(
            f"cannot read the key `{KEEPER_KEY}` of the cluster; users of etcd are unchanged"
        )
