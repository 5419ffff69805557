"""etcd as the store of a cluster (ports.Store), over its JSON gateway."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Final, assert_never

from portico.adapters.store.etcd import members, users
from portico.adapters.store.etcd.gateway import SEARCH_TIMEOUT, Gateway, refusal_message
from portico.adapters.store.etcd.watch import Watch
from portico.adapters.store.etcd.wire import (
    DATABASE_IS_FULL,
    NO_LEASE,
    Answer,
    GrantedLease,
    KeptLease,
    KeysAnswer,
    KeyValue,
    MemberStatus,
    decode,
    encode,
    keys_from,
)
from portico.core.model.snapshot import (
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
    StoreMember,
    StoreUser,
    Write,
)
from portico.ports.clock import Clock
from portico.ports.store import SessionEnded, StoreUnavailable

_QUOTA: Final = re.compile(rb"(?m)^etcd_server_quota_backend_bytes (\S+)$")


class EtcdStore:
    def __init__(self, address: StoreAddress, clock: Clock) -> None:
        """Raises Failed where a file of the address cannot be used."""
        self._gateway = Gateway(address, clock)
        self._user = StoreUser(address.user, address.password)
        self._watch = Watch(self._gateway, clock)

    async def snapshot(self, prefix: str) -> Snapshot:
        answer = await self._gateway.read("/v3/kv/range", keys_from(prefix), KeysAnswer)
        self._watch.newest = answer.header.revision  # or less than before: a restored copy
        return Snapshot(
            answer.header.revision, {decode(each.key): _item(each) for each in answer.kvs}
        )

    def watch(self, prefix: str, after: int) -> AsyncGenerator[Changes, None]:
        return self._watch.changes(prefix, after)

    async def transaction(
        self, compares: Sequence[Compare], writes: Sequence[Write]
    ) -> int | None:
        body = {
            "compare": [part for each in compares for part in _encode_compare(each)],
            "success": [_encode_write(each) for each in writes],
        }
        await self._find_member(writes[0].key)
        try:
            answer = await self._gateway.change("/v3/kv/txn", body, KeysAnswer)
        except StoreUnavailable as error:
            if any(isinstance(each, Put) and each.session for each in writes):
                _assert_session(error)
            raise
        self._watch.newest = max(self._watch.newest, answer.header.revision)
        return answer.header.revision if answer.succeeded else None

    async def open_session(self, seconds: int) -> int:
        answer = await self._gateway.read("/v3/lease/grant", {"TTL": seconds}, GrantedLease)
        return answer.id  # one whose answer was lost ends by itself

    async def keep_session(self, session: int) -> None:
        """Its answer says how far the store is, too: so a watch that is silent is noticed."""
        try:
            kept = await self._gateway.read("/v3/lease/keepalive", {"ID": session}, KeptLease)
        except StoreUnavailable as error:
            _assert_session(error)
            raise
        self._watch.newest = max(self._watch.newest, kept.result.header.revision)
        if kept.result.left <= 0:
            raise SessionEnded

    async def end_session(self, session: int) -> None:
        try:
            await self._gateway.read("/v3/lease/revoke", {"ID": session}, Answer)
        except StoreUnavailable as error:
            if refusal_message(error) != NO_LEASE:
                raise

    async def health(self) -> Sequence[MemberHealth]:
        return await asyncio.gather(*map(self._health_of, self._gateway.endpoints))

    async def _health_of(self, url: str) -> MemberHealth:
        try:
            found = await self._gateway.ask_member(url, "/v3/maintenance/status", MemberStatus)
        except StoreUnavailable as error:
            return MemberHealth(url, str(error))
        leads = found.leader == found.header.member_id != 0
        return MemberHealth(url, _problem(found), found.size, await self._quota_of(url), leads)

    async def _quota_of(self, url: str) -> int | None:
        """Of its metrics: before etcd 3.6 the status does not have it."""
        try:
            text = await self._gateway.answer_of_member(url, "/metrics", "GET")
        except StoreUnavailable:
            return None
        if found := _QUOTA.search(text):
            with suppress(ValueError, OverflowError):  # no number, NaN, +Inf
                return int(float(found[1]))
        return None

    async def has_users(self) -> bool:
        return await users.has_users(self._gateway, self._user)

    async def add_user(self, user: StoreUser, permissions: Sequence[Permission]) -> None:
        await users.add_user(self._gateway, user, permissions)

    async def remove_user(self, name: str) -> None:
        await users.remove_user(self._gateway, name)

    async def members(self) -> Sequence[StoreMember]:
        return await members.members(self._gateway)

    async def add_member(self, peer: str) -> None:
        await members.add_member(self._gateway, peer)

    async def promote_member(self, member: int) -> None:
        await members.promote_member(self._gateway, member)

    async def drop_member(self, member: int) -> None:
        await members.drop_member(self._gateway, member)

    def use(self, endpoints: Sequence[str]) -> None:
        self._gateway.use(endpoints)

    async def close(self) -> None:
        await self._gateway.close()

    async def _find_member(self, key: str) -> None:
        """Make sure that the member asked next is one that can write: a transaction is sent once,
        and where it is not answered nobody knows what became of it.
        """
        body = {"key": encode(key), "count_only": True}
        await self._gateway.read("/v3/kv/range", body, KeysAnswer, seconds=SEARCH_TIMEOUT)


def _assert_session(error: StoreUnavailable) -> None:
    """Raises SessionEnded where etcd refused a call because of that."""
    if refusal_message(error) == NO_LEASE:
        raise SessionEnded from error


def _problem(found: MemberStatus) -> str:
    """Empty for none. An alarm is `memberID:1 alarm:NOSPACE `."""
    alarms = " ".join(found.errors)
    if "NOSPACE" in alarms:
        return DATABASE_IS_FULL
    if "CORRUPT" in alarms:
        return "its data differs from that of the other members: replace this member"
    if not found.leader:
        return "it has no leader, because most of the members do not reach each other"
    return alarms


def _item(found: KeyValue) -> StoredItem:
    return StoredItem(found.value, found.mod_revision, found.create_revision, found.lease)


def _encode_compare(compare: Compare) -> list[dict[str, object]]:
    key = {"key": encode(compare.key), "result": "EQUAL"}
    parts: list[dict[str, object]] = []
    if compare.revision == ABSENT:
        return [{**key, "target": "CREATE", "create_revision": ABSENT}]
    if compare.revision is not None:
        parts.append({**key, "target": "MOD", "mod_revision": compare.revision})
    if compare.created is not None:
        parts.append({**key, "target": "CREATE", "create_revision": compare.created})
    return parts


def _encode_write(write: Write) -> dict[str, object]:
    match write:
        case Put():
            value = {
                "key": encode(write.key),
                "value": encode(write.value),
                "lease": write.session,
            }
            return {"request_put": value}
        case Delete():
            return {"request_delete_range": {"key": encode(write.key)}}
        case _:
            assert_never(write)
