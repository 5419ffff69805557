"""Follows what the machines of the cluster share, and keeps a copy of it on this machine.

The copy is what this machine goes by, from its start on: etcd may be down for any time, and
serving does not ask it. While the store cannot be reached, or is not to be followed, changes of
what is shared are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from typing import Final, TypeVar

from portico.core.model.shared import (
    CLUSTER_KEY,
    MACHINES,
    ClusterRecord,
    Record,
    decode,
    machine_key,
)
from portico.core.model.snapshot import Changes, Snapshot, StoredItem
from portico.core.planning.mirroring import (
    continues,
    difference,
    prefix_of,
    reason_not_to_follow,
    remedy,
    without_sessions,
)
from portico.engine.troubles import Troubles
from portico.errors import Failed, NotFound
from portico.ports.clock import Clock
from portico.ports.state import State
from portico.ports.store import Store, StoreUnavailable, WatchEnded

SUBJECT: Final = "the cluster's store"
FIRST_PAUSE: Final = 0.2
RETRY_PAUSE: Final = 2.0
JITTER: Final = 2.0
"""Seconds: fifty machines whose store is back do not read it all at once."""
NOT_ASKED: Final = "it was not asked yet"
KeyChanges = Mapping[str, StoredItem | None]
"""By key without prefix; None is one that was deleted."""
Position = tuple[int, int]
"""A history of the store, and a revision in it: revisions come again in a store that was restored
from an older copy, and positions only rise.
"""
R = TypeVar("R", bound=Record)


class StoreFollower:
    def __init__(
        self,
        cluster: str,
        *,
        store: Store,
        state: State,
        troubles: Troubles,
        clock: Clock,
    ) -> None:
        self.prefix = prefix_of(cluster)
        self._cluster, self.store, self._state = cluster, store, state
        self._troubles, self._clock = troubles, clock
        self._subscribers: dict[str, Callable[[KeyChanges], None]] = {}
        self._mirror = state.mirror(cluster)
        self._snapshot = self._mirror or Snapshot(0)
        self.history = 0
        """How often what is followed did not come after what was followed before."""
        self.trouble = NOT_ASKED
        """Why the copy is all there is; empty while the store is followed."""

    @property
    def mirror(self) -> Snapshot | None:
        """The copy on this machine; None where it has none yet."""
        return self._mirror

    @property
    def revision(self) -> int:
        """Of what this machine goes by."""
        return self._snapshot.revision

    @property
    def position(self) -> Position:
        """Of it, among all that this daemon has gone by."""
        return self.history, self.revision

    @property
    def schema(self) -> int:
        """In use in the store, as far as this machine knows; 0 where it knows nothing of it."""
        record = self.value(ClusterRecord, CLUSTER_KEY)
        return record.least if record else 0

    @property
    def items(self) -> Mapping[str, StoredItem]:
        """What is shared, by key without prefix, as far as this machine knows."""
        start = len(self.prefix)
        return {key[start:]: item for key, item in self._snapshot.items.items()}

    def items_of(self, start: str) -> Mapping[str, StoredItem]:
        """Those whose keys begin with it, by the rest of the key."""
        whole = self.prefix + start
        items = self._snapshot.items.items()
        return {key[len(whole) :]: item for key, item in items if key.startswith(whole)}

    def item(self, key: str) -> StoredItem | None:
        return self._snapshot.items.get(self.prefix + key)

    def machine_record(self, machine: str) -> StoredItem:
        """Raises NotFound."""
        if record := self.item(machine_key(machine)):
            return record
        names = ", ".join(sorted(self.items_of(MACHINES)))
        raise NotFound(f"there is no machine {machine} in the cluster; its machines are {names}")

    def value(self, kind: type[R], key: str) -> R | None:
        """None where it is missing, or cannot be read as one."""
        item = self.item(key)
        return decode(kind, item.value) if item else None

    def values(self, kind: type[R], start: str) -> dict[str, R]:
        """Those of `under` that can be read as one."""
        read = {name: decode(kind, item.value) for name, item in self.items_of(start).items()}
        return {name: each for name, each in read.items() if each is not None}

    def subscribe(self, name: str, changed: Callable[[KeyChanges], None]) -> None:
        """Call it with every change from now on; not with what is known already. What it raises
        is a problem of that name, and keeps nothing else from being followed.
        """
        self._subscribers[name] = changed

    def assert_current(self) -> None:
        """Raises StoreUnavailable where nothing that is shared can be changed from here, before
        anything was.
        """
        if self.trouble:
            raise StoreUnavailable(
                f"{SUBJECT} is not available: {self.trouble}; nothing was changed"
            )

    async def look(self) -> None:
        """Read all of it and follow its changes, for as long as that works."""
        if await self.read():
            with suppress(WatchEnded):  # reading it again tells what is the matter
                await self._watch()

    async def read(self) -> bool:
        """Whether the store is followed now. Ends within 3 s.

        Where another call has read it meanwhile, an answer that is older is not an older store.
        """
        before = self._snapshot
        try:
            found = await self.store.snapshot(self.prefix)
        except Failed as error:
            if self._snapshot is before:
                self._use_copy(str(error))
            return not self.trouble
        if self._snapshot is not before and found.revision <= self.revision:
            return not self.trouble
        return self._is_accepted(found)

    async def pause(self) -> None:
        seconds = RETRY_PAUSE if self.trouble else FIRST_PAUSE
        await self._clock.sleep(seconds + JITTER * self._clock.jitter())

    async def _watch(self) -> None:
        async with aclosing(self.store.watch(self.prefix, self._snapshot.revision)) as watch:
            async for changes in watch:
                if changes.revision <= self.revision:
                    continue  # another call has read it meanwhile
                if not self._is_accepted(self._snapshot.with_changes(changes)):
                    return

    def _is_accepted(self, found: Snapshot) -> bool:
        """Whether the store is followed; then this machine goes by what was found."""
        if why := reason_not_to_follow(self._cluster, self._mirror, found):
            self._use_copy(f"it is not followed because {why}", remedy(self._cluster, found))
            return False
        self.accept(found)
        return True

    def accept(self, found: Snapshot) -> None:
        """Go by what was found from now on, whatever this machine went by before."""
        self._record(without_sessions(found))
        self.history += not continues(self._snapshot, found)
        changes = difference(self._snapshot, found)
        self._snapshot, self.trouble = found, ""
        self._troubles.resolve(SUBJECT)
        if changes:
            start = len(self.prefix)
            self._publish({key[start:]: item for key, item in changes.items()})

    def _publish(self, changes: KeyChanges) -> None:
        for name, changed in self._subscribers.items():
            with self._troubles.fence(name):
                changed(changes)

    def _record(self, found: Snapshot) -> None:
        """Where the disk is full the copy is older than what this machine goes by, until the next
        change.
        """
        changes = difference(self._mirror, found)
        if self._mirror and not changes:
            return
        with self._troubles.fence("the copy of the cluster's store"):
            self._state.put_mirror(self._cluster, Changes(found.revision, changes))
            self._mirror = found

    def _use_copy(self, why: str, remedy: str = "") -> None:
        self.trouble = why
        kept = "the last known state" if self._mirror else "nothing that is shared"
        self._troubles.report(
            SUBJECT,
            f"{SUBJECT}: {why}; this machine uses {kept}, and refuses shared changes{remedy}",
        )
