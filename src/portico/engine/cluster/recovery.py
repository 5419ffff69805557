"""What an operator decides where the store is not followed: its state counts, or that of the copy
on this machine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

from portico.core.model.cluster_views import StoreChangeView
from portico.core.model.event import Requester
from portico.core.model.shared import CLUSTER_KEY, RESTORE_KEY
from portico.core.model.snapshot import ABSENT, MAX_WRITES, Compare, Delete, Put, Snapshot, Write
from portico.core.planning.mirroring import (
    reason_not_to_accept,
    values_of,
    writes_to_restore,
)
from portico.engine.cluster.store_follower import StoreFollower
from portico.engine.events import Events
from portico.errors import Refused
from portico.ports.store import Store, StoreUnavailable

MAX_SIZE: Final = 1 << 19
"""Bytes; etcd takes 1.5 MiB."""


class StoreRecovery:
    def __init__(
        self, cluster: str, store: Store, follower: StoreFollower, events: Events
    ) -> None:
        self._cluster, self._store, self._follower = cluster, store, follower
        self._events = events
        self.writer: Callable[[], AbstractAsyncContextManager[Store]] = lambda: nullcontext(store)
        """The store, by who may write what belongs to another machine."""
        self.restore_users: Callable[[], Awaitable[bool]] = _no_users
        """Make them again, and say whether the store asks for them."""

    async def accept(self, *, act: bool, who: Requester) -> StoreChangeView:
        """Forget what this machine knew, and follow the store as it is. If not `act`, only say
        what would change here.
        """
        found = await self._store_snapshot()
        if why := reason_not_to_accept(self._cluster, found):
            raise Refused(
                f"cannot accept what the store has because {why}; nothing was changed. `portico "
                "cluster restore` fills it from the copy on this machine"
            )
        lines = list(self._differences(self._follower.mirror or Snapshot(0), found))
        if act:
            self._events.note_request("accept", "the store of the cluster", who)
            self._follower.accept(found)
        return StoreChangeView(lines=tuple(lines), done=act)

    async def restore(self, *, act: bool, who: Requester) -> StoreChangeView:
        """Make the store have what this machine knew. If not `act`, only say what would change
        there.
        """
        mirror, found = self._follower.mirror, await self._store_snapshot()
        if mirror is None:
            raise Refused(
                "cannot restore the store: this machine has no copy of it; nothing was changed. "
                "Run the command on another machine"
            )
        lines, is_guarded = list(self._differences(found, mirror)), True
        if act:
            self._events.note_request("restore", "the store of the cluster", who)
            is_guarded = await self.restore_users()
            async with self.writer() as store:
                await self._write(store, found, mirror)
            self._follower.accept(await self._store.snapshot(self._follower.prefix))
        return StoreChangeView(lines=tuple(lines), done=act, guarded=is_guarded)

    async def _store_snapshot(self) -> Snapshot:
        if not self._follower.trouble:
            raise Refused("the store of the cluster is followed already; nothing was changed")
        try:
            return await self._store.snapshot(self._follower.prefix)
        except StoreUnavailable as error:
            raise StoreUnavailable(f"{error}; nothing was changed") from None

    async def _write(self, store: Store, found: Snapshot, mirror: Snapshot) -> None:
        """While the record of the cluster is missing no machine follows the store: what is written
        by parts counts when all of it is there. Another `restore` that begins ends this one.
        """
        prefix = self._follower.prefix
        record, own = prefix + CLUSTER_KEY, prefix + RESTORE_KEY
        item = found.items.get(record)
        as_found = Compare(record, item.revision if item else ABSENT)
        begun = await _commit(store, [as_found], [Put(own, b""), Delete(record)])
        now = await store.snapshot(prefix)
        writes, last = writes_to_restore(self._cluster, mirror, now)
        for part in (*_parts(writes), last):
            await _commit(store, [Compare(record, ABSENT), Compare(own, begun)], part)

    def _differences(self, before: Snapshot, after: Snapshot) -> Iterator[str]:
        old, new, start = values_of(before), values_of(after), len(self._follower.prefix)
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                what = "added" if key not in old else "changed" if key in new else "removed"
                yield f"{key[start:]}: {what}"


async def _commit(store: Store, compares: Sequence[Compare], writes: Sequence[Write]) -> int:
    """The revision. Raises Refused where a comparison is not true."""
    if (revision := await store.transaction(compares, writes)) is None:
        raise Refused(
            "the restore has stopped because another machine has changed the store meanwhile; "
            "`portico cluster show` says whether the store is followed"
        )
    return revision


async def _no_users() -> bool:
    return True


def _parts(writes: Sequence[Write]) -> Iterator[list[Write]]:
    part, size = list[Write](), 0
    for write in writes:
        length = len(write.value) if isinstance(write, Put) else 0
        if part and (len(part) == MAX_WRITES or size + length > MAX_SIZE):
            yield part
            part, size = [], 0
        part.append(write)
        size += length
    if part:
        yield part
