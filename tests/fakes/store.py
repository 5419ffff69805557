"""A store in memory (ports.Store)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace

from portico.core.model.snapshot import (
    ABSENT,
    Changes,
    Compare,
    Delete,
    MemberHealth,
    Permission,
    Put,
    Snapshot,
    StoredItem,
    StoreMember,
    StoreUser,
    Write,
)
from portico.engine.cluster.session import DURATION
from portico.ports.clock import Clock
from portico.ports.store import SessionEnded, StoreUnavailable, WatchEnded

MAX_OPERATIONS = 128
"""Of a transaction, as etcd takes them."""


class FakeStore:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all = Snapshot(1)
        self._log: list[Changes] = []
        self._forgotten = 0
        self._changed = asyncio.Event()
        self._sessions: dict[int, tuple[int, float]] = {}
        self._last_session = self._starts = 0
        self.users: dict[str, Sequence[Permission]] = {}
        """What each may do, which is not enforced."""
        self.passwords: dict[str, str] = {}
        self.listed: list[StoreMember] = []
        """Members of it."""
        self.endpoints: Sequence[str] = ()
        self.trouble = ""
        """Why nothing can be asked; empty if it can."""

    async def snapshot(self, prefix: str) -> Snapshot:
        self._assert_available()
        found = {key: item for key, item in self._all.items.items() if key.startswith(prefix)}
        return Snapshot(self._all.revision, found)

    async def watch(self, prefix: str, after: int) -> AsyncGenerator[Changes, None]:
        if after > self._all.revision:
            raise WatchEnded("the store is before that")
        begun = self._starts
        while True:
            changed = self._changed
            if begun != self._starts:
                raise WatchEnded("it closed the connection")
            if self.trouble:
                raise WatchEnded(self.trouble)
            if after < self._forgotten:
                raise WatchEnded("forgotten")
            for each in [each for each in self._log if each.revision > after]:
                after = each.revision
                items = {key: item for key, item in each.items.items() if key.startswith(prefix)}
                if items:
                    yield Changes(after, items)
            await changed.wait()

    async def health(self) -> Sequence[MemberHealth]:
        return [MemberHealth("fake", self.trouble)]

    async def transaction(
        self, compares: Sequence[Compare], writes: Sequence[Write]
    ) -> int | None:
        self._assert_available()
        if len(writes) > MAX_OPERATIONS:
            raise StoreUnavailable("etcd refuses: too many operations in txn request")
        if not all(self._is_true(each) for each in compares):
            return None
        for each in writes:
            if isinstance(each, Put) and each.session not in {0, *self._sessions}:
                raise SessionEnded
        return self._write(writes)

    async def open_session(self, seconds: int) -> int:
        self._assert_available()
        self._last_session += 1
        self._sessions[self._last_session] = seconds, self._clock.monotonic() + seconds
        return self._last_session

    async def keep_session(self, session: int) -> None:
        self._assert_available()
        if session not in self._sessions:
            raise SessionEnded
        seconds, _ = self._sessions[session]
        self._sessions[session] = seconds, self._clock.monotonic() + seconds

    async def end_session(self, session: int) -> None:
        self._assert_available()
        self._end(session)

    async def has_users(self) -> bool:
        return True

    async def add_user(self, user: StoreUser, permissions: Sequence[Permission]) -> None:
        self._assert_available()
        self.users[user.name] = permissions
        self.passwords[user.name] = user.password

    async def remove_user(self, name: str) -> None:
        self._assert_available()
        self.users.pop(name, None)

    async def members(self) -> Sequence[StoreMember]:
        self._assert_available()
        return list(self.listed)

    async def add_member(self, peer: str) -> None:
        self.listed.append(StoreMember(len(self.listed) + 1, "", [peer], [], is_learner=True))

    async def promote_member(self, member: int) -> None:
        self.listed = [
            replace(each, is_learner=False) if each.id == member else each for each in self.listed
        ]

    async def drop_member(self, member: int) -> None:
        self.listed = [each for each in self.listed if each.id != member]

    def use(self, endpoints: Sequence[str]) -> None:
        self.endpoints = endpoints

    async def close(self) -> None: ...

    def peek(self, key: str) -> StoredItem | None:
        """What it has now, reachable or not."""
        return self._all.items.get(key)

    def names(self) -> list[str]:
        return list(self._all.items)

    @property
    def all(self) -> Snapshot:
        return self._all

    def write(self, values: Mapping[str, bytes | None]) -> None:
        """By whoever may, reachable or not; None deletes."""
        self._write(
            [Delete(key) if each is None else Put(key, each) for key, each in values.items()]
        )

    # What happens to a store

    def compact(self) -> None:
        self._forgotten = self._all.revision
        self._log.clear()

    def fail(self, trouble: str) -> None:
        """Nothing can be asked from now on; an empty text ends that."""
        self.trouble = trouble
        self._wake()

    def replace(self, snapshot: Snapshot) -> None:
        """Another store has taken its place, or an older copy of it, which has its sessions."""
        self._all, self._log, self._forgotten = snapshot, [], snapshot.revision
        bound, now = {each.session for each in snapshot.items.values()}, self._clock.monotonic()
        self._sessions = dict.fromkeys(bound - {0}, (DURATION, now + DURATION))
        self._starts += 1
        self._wake()

    def _assert_available(self) -> None:
        if self.trouble:
            raise StoreUnavailable(f"cannot reach the store of the cluster: {self.trouble}")
        for session, (_, end) in list(self._sessions.items()):
            if end <= self._clock.monotonic():
                self._end(session)

    def _end(self, session: int) -> None:
        if self._sessions.pop(session, None):
            bound = [key for key, item in self._all.items.items() if item.session == session]
            if bound:
                self._apply(dict.fromkeys(bound))

    def _is_true(self, compare: Compare) -> bool:
        item = self._all.items.get(compare.key)
        if compare.revision == ABSENT or item is None:
            return item is None and compare.revision == ABSENT
        return compare.revision in {None, item.revision} and compare.created in {
            None,
            item.created,
        }

    def _write(self, writes: Sequence[Write]) -> int:
        number = self._all.revision + 1
        items: dict[str, StoredItem | None] = {}
        for each in writes:
            old = self._all.items.get(each.key)
            if isinstance(each, Put):
                created = old.created if old else number
                items[each.key] = StoredItem(each.value, number, created, each.session)
            elif old:
                items[each.key] = None
        if items:
            self._apply(items)
        return self._all.revision

    def _apply(self, items: dict[str, StoredItem | None]) -> None:
        changes = Changes(self._all.revision + 1, items)
        self._all = self._all.with_changes(changes)
        self._log.append(changes)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
