"""What the machines of a cluster share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from portico.core.model.snapshot import (
    Changes,
    Compare,
    MemberHealth,
    Permission,
    Snapshot,
    StoreMember,
    StoreUser,
    Write,
)
from portico.errors import Failed


class StoreUnavailable(Failed):
    """The store cannot be asked, or refuses: nothing was changed in it. The text says why."""

    http_status = 502
    """Not 503, with which a daemon says that it exits: clients would start another one."""


class OutcomeUnknown(StoreUnavailable):
    """A transaction was sent and its answer did not come: it was done, or not, or will be yet.
    Only a snapshot tells.
    """


class SessionEnded(Exception):
    """The session is over, and with it all keys that were bound to it."""


class WatchEnded(Exception):
    """What changed from now on is unknown: take a snapshot again. The text says why."""


class Store(Protocol):
    """Values by key, changed by transactions, one after another for all who ask.

    What a call returns is what most of the members agree on at a moment after the call began,
    never an old state of one of them, except for `watch`. Every call but `watch` ends within 3 s.
    No answer, or one that is not understood, is StoreUnavailable and never an empty result.
    """

    async def snapshot(self, prefix: str) -> Snapshot:
        """All keys that begin with it, at one revision. Raises StoreUnavailable."""

    def watch(self, prefix: str, after: int) -> AsyncGenerator[Changes, None]:
        """What changes after that revision, in order, none left out and none twice, each as soon
        as it is known. All changes of one revision are in the same `Changes`.

        Raises WatchEnded where that cannot be promised any longer: the store has forgotten what
        was so long ago, is itself at an earlier revision (restored from a copy), or no member
        answers. A member that is silent is noticed within 35 s. Close it (`aclosing`).
        """

    async def transaction(
        self, compares: Sequence[Compare], writes: Sequence[Write]
    ) -> int | None:
        """Do all of the writes, of which there is one at least, if all of the comparisons are
        true, else nothing. The revision of
        the writes; None if a comparison was false.

        Raises StoreUnavailable (nothing was changed), OutcomeUnknown, and SessionEnded for a
        write that is bound to a session that is over.
        """

    async def open_session(self, seconds: int) -> int:
        """A session that ends by itself when `keep_session` was not called for so long. Its
        number, above 0. Raises StoreUnavailable.
        """

    async def keep_session(self, session: int) -> None:
        """Raises SessionEnded; after StoreUnavailable it may be over or not."""

    async def end_session(self, session: int) -> None:
        """Delete what is bound to it, now. Nothing if it is over. Raises StoreUnavailable."""

    async def health(self) -> Sequence[MemberHealth]:
        """Of each member whose address is known, all asked at once; one that does not answer is
        among them.
        """

    def use(self, endpoints: Sequence[str]) -> None:
        """Ask the members at these URLs from now on. Raises Failed, and asks those before."""

    async def close(self) -> None:
        """Close connections. Sessions go on until their time is up."""


class AdministeredStore(Store, Protocol):
    """By a user who may create others. Each call may be repeated, and does then what is left."""

    async def has_users(self) -> bool:
        """Whether it asks who someone is. Raises StoreUnavailable."""

    async def add_user(self, user: StoreUser, permissions: Sequence[Permission]) -> None:
        """With these permissions alone; with none of them it may do everything. Raises
        StoreUnavailable, and Failed where that is not permitted.
        """

    async def remove_user(self, name: str) -> None:
        """With its permissions. Raises as `add_user` does."""

    async def members(self) -> Sequence[StoreMember]:
        """Raises StoreUnavailable."""

    async def add_member(self, peer: str) -> None:
        """One that takes no part yet, and is reached by the others at this URL. Raises
        StoreUnavailable, Failed, OutcomeUnknown, as those below.
        """

    async def promote_member(self, member: int) -> None:
        """It takes part from now on."""

    async def drop_member(self, member: int) -> None:
        """It does not belong to them any more."""
