"""What a daemon has of the cluster's store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol

from portico import __version__
from portico.core.model.cluster_views import ClusterView, MemberView, StoreChangeView
from portico.core.model.event import Requester
from portico.core.model.shared import (
    MACHINES,
    PRESENCES,
    PROGRESS,
    SCHEMA,
    Presence,
    SharedMachine,
    decode,
    encode,
    machine_key,
)
from portico.core.model.snapshot import Compare, StoredItem, Write
from portico.core.planning.members import has_certificate
from portico.engine.cluster.membership import Membership
from portico.engine.cluster.neighbourhood import Neighbourhood
from portico.engine.cluster.recovery import StoreRecovery
from portico.engine.cluster.session import Session, SessionOwner
from portico.engine.cluster.store_follower import SUBJECT, Position, StoreFollower
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.engine.tasks import Tasks
from portico.errors import Failed
from portico.ports.store import AdministeredStore, Store, StoreUnavailable

END_TIMEOUT: Final = 1.0
TAKE_TIMEOUT: Final = 12.0
MAX_TROUBLES, MAX_TROUBLE_LENGTH = 10, 200
"""Of what other machines are shown."""


class RepeatedTask(Protocol):
    async def look(self) -> None: ...

    async def pause(self) -> None: ...


class ClusterStore:
    """Made where HOME/cluster has a store.json; a machine without one imports nothing of it."""

    def __init__(
        self,
        engine: Engine,
        in_force: InForce,
        cluster: str,
        machine: str,
        store: AdministeredStore,
        thumbprint: Callable[[], str] = str,
    ) -> None:
        """`cluster` is its UUID, `machine` the own name; `thumbprint` is as in `Presence`."""
        self.cluster, self.machine, self.store = cluster, machine, store
        self.serial = ""
        """Of the certificate of this machine; empty where its name alone counts."""
        self._troubles = engine.troubles
        self.follower = StoreFollower(
            cluster, store=store, state=engine.state, troubles=engine.troubles, clock=engine.clock
        )
        owner = SessionOwner(machine, self._presence, self.is_member)
        self.session = Session(owner, self.follower, engine.troubles, engine.clock)
        self._membership = Membership(
            engine, in_force, self.follower, cluster, machine, self.is_member
        )
        self.recovery = StoreRecovery(cluster, store, self.follower, engine.events)
        self._thumbprint = thumbprint
        self.revisions: Callable[[], Mapping[str, int]] = dict
        """What the presence of this machine says is in force."""
        self.change_text: Callable[[], str] = str
        """The change of all machines that is under way; empty for none."""
        self.may_replace: Callable[[], bool] = lambda: True
        """Whether this machine may replace one version by another (`ChangeState`)."""
        self.drained_machines: Callable[[], Collection[str]] = tuple
        """The machines that say so, as far as this one hears of it."""
        self.down_machines: Callable[[], Collection[str]] = tuple
        """The same of those on which no file is in force."""
        self.is_waited_for = True
        """Whether the others count on the daemon; not after `down --all`, when it may exit."""
        self.repeated_tasks: dict[str, RepeatedTask] = {}
        """What is started with it, by what a problem of it is of."""
        self.take_before_serving: Callable[[], Awaitable[None]] | None = None
        """What else a machine that has joined just now has to have before it serves."""

    def meet(self, neighbourhood: Neighbourhood) -> None:
        """Each is told what the other one knows of the machines."""
        neighbourhood.absent, neighbourhood.newcomers = self.absent, self.newcomers
        neighbourhood.may_replace = lambda: self.may_replace()  # noqa: PLW0108 - set later
        self.drained_machines, self.down_machines = (
            neighbourhood.drained_machines,
            neighbourhood.down_machines,
        )

    async def begin(self) -> None:
        """A machine that has joined just now reads the store before it serves anything, so that
        the first `up` knows the machines, and has their certificates. Ends within 15 s.
        """
        if self.follower.mirror is None and await self.follower.read():
            await self._membership.look()
            if self.take_before_serving:
                with suppress(TimeoutError):
                    async with asyncio.timeout(TAKE_TIMEOUT):
                        await self.take_before_serving()

    def start(self, tasks: Tasks) -> None:
        tasks.repeat("the cluster's store", self.follower.look, self.follower.pause)
        tasks.repeat("session in the cluster's store", self.session.look, self.session.pause)
        tasks.repeat("the machines of the cluster", self._membership.look, self._membership.pause)
        for subject, task in self.repeated_tasks.items():
            tasks.repeat(subject, task.look, task.pause)

    async def end(self) -> None:
        """The daemon exits: the others see it at once, or when the session ends by itself."""
        with suppress(TimeoutError, Failed):
            async with asyncio.timeout(END_TIMEOUT):
                await self.session.end()
        await self.store.close()

    def absent(self) -> frozenset[str]:
        """The machines whose daemons have no session, where that is certain."""
        if self.follower.trouble or not self.session.is_held():
            return frozenset()
        names = self.follower.items_of(MACHINES).keys()
        return frozenset(names - self.follower.items_of(PRESENCES).keys())

    def newcomers(self) -> frozenset[str]:
        """The machines that took part in nothing since they joined, or since `down --all`."""
        names = self.follower.items_of(MACHINES).keys() - self.follower.items_of(PROGRESS).keys()
        return frozenset(names)

    async def accept(self, *, act: bool, who: Requester) -> StoreChangeView:
        return await self.recovery.accept(act=act, who=who)

    async def restore(self, *, act: bool, who: Requester) -> StoreChangeView:
        return await self.recovery.restore(act=act, who=who)

    def is_member(self) -> bool:
        """Whether this machine was neither removed nor replaced, as far as it knows."""
        return has_certificate(self.follower.item(machine_key(self.machine)), self.serial)

    def assert_member(self) -> None:
        """Raises StoreUnavailable where it is no member: then it writes nothing any more."""
        if not self.is_member():
            raise StoreUnavailable(
                f"this machine, {self.machine}, was removed from its cluster, or replaced; "
                "nothing was changed. `portico cluster leave` removes its files"
            )

    def view(self) -> ClusterView:
        follower = self.follower
        present = follower.items_of(PRESENCES)
        # An older Portico says so after `down --all`, too; it takes no part in changes then.
        drained = {*self.drained_machines()} & follower.items_of(PROGRESS).keys()
        states = {
            **dict.fromkeys(drained, "drained"),
            **dict.fromkeys(self.down_machines(), "down"),
        }
        return ClusterView(
            machine=self.machine,
            cluster=self.cluster,
            followed=not follower.trouble,
            trouble=follower.trouble,
            revision=follower.revision,
            store_schema=follower.schema,
            machines=tuple(
                _member(name, item, present.get(name), states.get(name))
                for name, item in sorted(follower.items_of(MACHINES).items())
            ),
            change=self.change_text(),
        )

    async def transaction(
        self, compares: Sequence[Compare], writes: Sequence[Write], store: Store | None = None
    ) -> Position | None:
        """As `Store.transaction`, by keys without prefix; of a `store` that is open to another
        user, if given. Returns where it was written. Raises StoreUnavailable too where the store
        is not followed, or this machine was removed from the cluster or replaced.
        """
        if trouble := self.follower.trouble:
            raise StoreUnavailable(f"{SUBJECT} is not available: {trouble}")
        self.assert_member()
        prefix, history = self.follower.prefix, self.follower.history
        revision = await (store or self.store).transaction(
            [replace(each, key=prefix + each.key) for each in compares],
            [replace(each, key=prefix + each.key) for each in writes],
        )
        return None if revision is None else (history, revision)

    def _presence(self) -> bytes:
        sentences = self._troubles.sentences()[:MAX_TROUBLES]
        troubles = tuple(each[:MAX_TROUBLE_LENGTH] for each in sentences)
        return encode(
            Presence(
                version=__version__,
                schema=SCHEMA,
                in_force=self.revisions(),
                thumbprint=self._thumbprint(),
                troubles=troubles,
            )
        )


def _member(
    name: str, item: StoredItem, present: StoredItem | None, state: str | None
) -> MemberView:
    machine = decode(SharedMachine, item.value) or SharedMachine(address="", port=0)
    presence = decode(Presence, present.value) if present else None
    return MemberView(
        name=name,
        address=machine.address,
        port=machine.port,
        labels=machine.labels,
        state=state or machine.state,
        present=present is not None,
        version=presence.version if presence else "",
    )
