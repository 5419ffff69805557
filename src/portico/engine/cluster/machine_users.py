"""The users that machines have in a store that has users: one for each certificate.

Those who may create them are the machines themselves, by a user of the cluster, the keeper, whose
password is in the store, encrypted with the key of the cluster. So no machine keeps the password
that the operator gave when the cluster was created.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from secrets import token_hex

from portico.core.model.shared import KEEPER_KEY, Keeper, decoded
from portico.core.model.stored import StoreUser
from portico.core.planning.store_permissions import machine_permissions, machine_user_name
from portico.engine.cluster.assembly import Shared
from portico.errors import Failed
from portico.ports.store import AdministeredStore, Store
from portico.ports.vault import Vault


class MachineUsers:
    def __init__(
        self, shared: Shared, vault: Vault, open_as: Callable[[StoreUser], AdministeredStore]
    ) -> None:
        self._shared, self._vault, self._open_as = shared, vault, open_as

    def are_needed(self) -> bool:
        """Whether the cluster was created with a user."""
        return self._shared.following.item(KEEPER_KEY) is not None

    async def add(self, machine: str, serial: str) -> StoreUser:
        """Raises StoreUnavailable, Failed."""
        cluster = self._shared.cluster
        user = StoreUser(self.name_of(machine, serial), token_hex(32))
        async with self.keeper() as store:
            await store.add_user(user, machine_permissions(cluster, machine))
        return user

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
    async def writer(self) -> AsyncGenerator[Store, None]:
        """The store, by who may write all keys of the cluster. Raises Failed."""
        if self.are_needed():
            async with self.keeper() as store:
                yield store
        else:
            yield self._shared.store

    @asynccontextmanager
    async def keeper(self) -> AsyncGenerator[AdministeredStore, None]:
        """The store, as it is open to the keeper. Raises Failed."""
        item = self._shared.following.item(KEEPER_KEY)
        opened = await self._vault.open(KEEPER_KEY, item.value) if item else b""
        keeper = decoded(Keeper, opened)
        if keeper is None:
            raise Failed(
                f"cannot read the key `{KEEPER_KEY}` of the cluster; users of etcd are unchanged"
            )
        store = self._open_as(StoreUser(keeper.user, keeper.password))
        try:
            yield store
        finally:
            await store.close()
