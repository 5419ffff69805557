"""The first machine of a cluster: the store is asked, and then has the cluster's record."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Final

from portico.core.model.member_views import ClusterRequest, MembershipView
from portico.core.model.shared import (
    CLUSTER_KEY,
    KEEPER_KEY,
    MACHINES,
    SCHEMA,
    ClusterRecord,
    Keeper,
    SharedMachine,
    decode,
    encode,
    machine_key,
    present_key,
)
from portico.core.model.snapshot import (
    ABSENT,
    Compare,
    Put,
    Snapshot,
    StoreAddress,
    StoreUser,
    Write,
)
from portico.core.planning.mirroring import prefix_of
from portico.core.planning.store_permissions import (
    keeper_name,
    machine_permissions,
    machine_user_name,
)
from portico.errors import Failed, PorticoError, Refused
from portico.ports.clock import Clock
from portico.ports.store import AdministeredStore, OutcomeUnknown, Store, StoreUnavailable
from portico.ports.vault import Vault
from portico.system.cluster_identity import AUTHORITY, CERTIFICATE, KEY
from portico.system.cluster_store import KEY_FILE, STORE, StoreFile, read_store_of

CONFIRM_TIMEOUT: Final = 10.0
"""Seconds for which a transaction whose outcome is unknown is sent again."""
CONFIRM_PAUSE: Final = 0.5
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
        clock: Clock,
    ) -> None:
        """`open_vault` is given the path of the cluster's key."""
        self._open_store, self._open_vault, self._clock = open_store, open_vault, clock

    async def create(self, request: ClusterRequest) -> MembershipView:
        """Raises Refused and StoreUnavailable, with nothing changed, and OutcomeUnknown, whose
        text says what may be left. None of it can be used: whoever asks drops the cluster's key.
        """
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
        except OutcomeUnknown as error:
            remove = _removal(request.cluster, request.name, request.serial, request.user)
            raise OutcomeUnknown(
                f"{error}; etcd may have data of the cluster {request.cluster}, which cannot be "
                f"used. Before you try again, remove it: {remove}"
            ) from error
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
            for cluster in others:
                if serial := _serial_left(found, cluster, request.name):
                    remove = _removal(cluster, request.name, serial, request.user)
                    raise Refused(
                        f"etcd has the data of cluster {cluster}, whose only machine is "
                        f"{request.name}; nothing was changed. If an `init` that was not "
                        f"confirmed has left it, remove it: {remove}"
                    )
            raise Refused(
                f"etcd has the data of cluster {', '.join(others)}; nothing was changed. To add "
                "this machine to it, run `portico cluster token` on one of its machines; --force "
                "creates another cluster there"
            )

    async def _write_with_users(
        self, store: AdministeredStore, request: ClusterRequest, own: StoreUser, folder: Path
    ) -> None:
        """None of them is left where the cluster is not created. Raises as `_write` does, and
        OutcomeUnknown where one may be left.
        """
        if not await store.has_users():
            raise Refused(
                "authentication of etcd is not enabled, so --user has no effect; nothing was "
                "changed. Run `etcdctl auth enable`, or leave out --user"
            )
        keeper = Keeper(user=keeper_name(request.cluster, request.serial), password=token_hex(32))
        vault = self._open_vault(str(folder / KEY_FILE))
        sealed = await vault.seal(KEEPER_KEY, encode(keeper))
        try:
            await store.add_user(StoreUser(keeper.user, keeper.password), [])
            await store.add_user(own, machine_permissions(request.cluster, request.name))
            await self._write(
                store, request, [Put(prefix_of(request.cluster) + KEEPER_KEY, sealed)]
            )
        except PorticoError as error:
            try:
                await store.remove_user(own.name)
                await store.remove_user(keeper.user)
            except Failed:
                raise OutcomeUnknown(str(error)) from error
            raise

    async def _write(self, store: Store, request: ClusterRequest, more: Sequence[Write]) -> None:
        """Raises Refused and StoreUnavailable, with nothing written, and OutcomeUnknown."""
        prefix = prefix_of(request.cluster)
        machine = SharedMachine(
            address=request.address,
            port=request.port,
            labels=request.labels,
            serial=request.serial,
        )
        record = prefix + CLUSTER_KEY
        own = prefix + machine_key(request.name)
        writes = [
            Put(record, encode(ClusterRecord(least=SCHEMA))),
            Put(own, encode(machine)),
            *more,
        ]
        if await self._commit(store, [Compare(record, ABSENT)], writes):
            return
        try:
            found = await store.snapshot(prefix)
        except PorticoError as error:
            raise OutcomeUnknown(str(error)) from error
        item = found.items.get(own)
        if item is None or item.value != encode(machine):  # else it was written without an answer
            raise Refused(
                f"etcd has a cluster {request.cluster} already; nothing was changed. If no "
                "machine is in it, because an earlier `init` was not confirmed, delete it with "
                f"`etcdctl del --prefix {prefix}`"
            )

    async def _commit(
        self, store: Store, compares: Sequence[Compare], writes: Sequence[Write]
    ) -> bool:
        """False if a comparison was false, as after an earlier try that was not answered. Raises
        StoreUnavailable, with nothing written, and OutcomeUnknown.
        """
        end, is_unknown = self._clock.monotonic() + CONFIRM_TIMEOUT, False
        while True:
            try:
                return await store.transaction(compares, writes) is not None
            except PorticoError as error:
                is_unknown = is_unknown or isinstance(error, OutcomeUnknown)
                if not is_unknown:
                    raise
                if not isinstance(error, StoreUnavailable) or self._clock.monotonic() > end:
                    raise OutcomeUnknown(str(error)) from error
            await self._clock.sleep(CONFIRM_PAUSE)


def _serial_left(found: Snapshot, cluster: str, machine: str) -> str:
    """Of the certificate of the only machine of a cluster, if that has this name and does not run;
    else empty.
    """
    prefix = prefix_of(cluster)
    machines = [key for key in found.items if key.startswith(prefix + MACHINES)]
    if machines != [prefix + machine_key(machine)] or prefix + present_key(machine) in found.items:
        return ""
    record = decode(SharedMachine, found.items[machines[0]].value)
    return record.serial if record else ""


def _removal(cluster: str, machine: str, serial: str, user: str) -> str:
    """The commands, of which each may find nothing to remove."""
    commands = [f"`etcdctl del --prefix {prefix_of(cluster)}`"]
    if user:
        own = machine_user_name(cluster, machine, serial)
        commands += [
            f"`etcdctl user delete {keeper_name(cluster, serial)}`",
            f"`etcdctl user delete {own}`",
            f"`etcdctl role delete {own}`",
        ]
    return ", ".join(commands)
