"""etcd as the store of a cluster (ports.Store), over its JSON gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import assert_never

from portico.adapters.store.etcd import users
from portico.adapters.store.etcd.gateway import SEARCH_TIMEOUT, Gateway
from portico.adapters.store.etcd.watching import Watching
from portico.adapters.store.etcd.wire import (
    UNHEALTHY,
    Answer,
    KeptLease,
    KeyValue,
    MemberStatus,
    decoded,
    encoded,
    keys_from,
)
from portico.core.model.stored import (
    ABSENT,
    Changes,
    Compare,
    Delete,
    MemberHealth,
    Permission,
    Put,
    Snapshot,
    StoreAddress,
    StoredItem,
    StoreUser,
    Write,
)
from portico.ports.clock import Clock
from portico.ports.store import SessionEnded, StoreUnavailable


class EtcdStore:
    def __init__(self, address: StoreAddress, clock: Clock) -> None:
        """Raises Failed where a file of the address cannot be used."""
        self._gateway = Gateway(address, clock)
        self._user = StoreUser(address.user, address.password)
        self._watching = Watching(self._gateway, clock)

    async def snapshot(self, prefix: str) -> Snapshot:
        answer = await self._gateway.read("/v3/kv/range", keys_from(prefix), Answer)
        self._watching.newest = answer.header.revision  # or less than before: a restored copy
        return Snapshot(
            answer.header.revision, {decoded(each.key): _item(each) for each in answer.kvs}
        )

    def watch(self, prefix: str, after: int) -> AsyncGenerator[Changes, None]:
        return self._watching.changes(prefix, after)

    async def transaction(
        self, compares: Sequence[Compare], writes: Sequence[Write]
    ) -> int | None:
        body = {
            "compare": [part for each in compares for part in _compared(each)],
            "success": [_written(each) for each in writes],
        }
        await self._find_member(writes[0].key)
        answer = await self._gateway.change("/v3/kv/txn", body, Answer)
        self._watching.newest = max(self._watching.newest, answer.header.revision)
        return answer.header.revision if answer.succeeded else None

    async def open_session(self, seconds: int) -> int:
        answer = await self._gateway.read("/v3/lease/grant", {"TTL": seconds}, Answer)
        return answer.lease  # one whose answer was lost ends by itself

    async def keep_session(self, session: int) -> None:
        """Its answer says how far the store is, too: so a watch that is silent is noticed."""
        kept = await self._gateway.read("/v3/lease/keepalive", {"ID": session}, KeptLease)
        self._watching.newest = max(self._watching.newest, kept.result.header.revision)
        if kept.result.left <= 0:
            raise SessionEnded

    async def end_session(self, session: int) -> None:
        try:
            await self._gateway.read("/v3/lease/revoke", {"ID": session}, Answer)
        except SessionEnded:
            return

    async def health(self) -> Sequence[MemberHealth]:
        return await asyncio.gather(*map(self._health_of, self._gateway.endpoints))

    async def _health_of(self, url: str) -> MemberHealth:
        try:
            found = await self._gateway.ask_member(url, "/v3/maintenance/status", MemberStatus)
        except StoreUnavailable as error:
            return MemberHealth(url, str(error))
        problem = "; ".join(found.errors) or ("" if found.leader else UNHEALTHY)
        return MemberHealth(url, problem, found.size)

    async def has_users(self) -> bool:
        return await users.has_users(self._gateway, self._user)

    async def add_user(self, user: StoreUser, permissions: Sequence[Permission]) -> None:
        await users.add_user(self._gateway, user, permissions)

    async def remove_user(self, name: str) -> None:
        await users.remove_user(self._gateway, name)

    async def close(self) -> None:
        await self._gateway.close()

    async def _find_member(self, key: str) -> None:
        """Make sure that the member asked next is one that can write: a transaction is sent once,
        and where it is not answered nobody knows what became of it.
        """
        body = {"key": encoded(key), "count_only": True}
        await self._gateway.read("/v3/kv/range", body, Answer, seconds=SEARCH_TIMEOUT)


def _item(found: KeyValue) -> StoredItem:
    return StoredItem(found.value, found.mod_revision, found.create_revision, found.lease)


def _compared(compare: Compare) -> list[dict[str, object]]:
    key = {"key": encoded(compare.key), "result": "EQUAL"}
    parts: list[dict[str, object]] = []
    if compare.revision == ABSENT:
        return [{**key, "target": "CREATE", "create_revision": ABSENT}]
    if compare.revision is not None:
        parts.append({**key, "target": "MOD", "mod_revision": compare.revision})
    if compare.created is not None:
        parts.append({**key, "target": "CREATE", "create_revision": compare.created})
    return parts


def _written(write: Write) -> dict[str, object]:
    match write:
        case Put():
            value = {
                "key": encoded(write.key),
                "value": encoded(write.value),
                "lease": write.session,
            }
            return {"request_put": value}
        case Delete():
            return {"request_delete_range": {"key": encoded(write.key)}}
        case _:
            assert_never(write)
