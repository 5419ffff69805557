"""Puts the machines in force that the store has: whom requests may cross to, and from whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from portico.core.model.cluster import MemberList
from portico.core.model.shared import CLUSTER_KEY, MACHINES
from portico.core.planning.members import member_list
from portico.engine.cluster.store_follower import KeyChanges, StoreFollower
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.errors import PorticoError

SUBJECT: Final = "the machines of the cluster"
RETRY_INTERVAL: Final = 10.0


class Membership:
    def __init__(
        self,
        engine: Engine,
        in_force: InForce,
        follower: StoreFollower,
        cluster: str,
        machine: str,
        is_member: Callable[[], bool],
    ) -> None:
        """`cluster` is its UUID, `machine` the own name."""
        self._intent, self._troubles, self._in_force = engine.intent, engine.troubles, in_force
        self._events = engine.events
        self._follower, self._cluster, self._machine = follower, cluster, machine
        self._is_member = is_member
        self._woken = asyncio.Event()
        follower.subscribe(SUBJECT, self._note)

    async def look(self) -> None:
        self._woken.clear()
        if self._follower.item(CLUSTER_KEY) is None:
            return  # nothing is known of the store yet
        if self._follower.trouble and not self._is_member():
            return  # the copy may be older than the certificate of this machine
        members = member_list(self._cluster, self._follower.items_of(MACHINES))
        if self._machine not in members.machines or not self._is_member():
            self._troubles.report(
                SUBJECT,
                f"{self._machine}, this machine, was removed from the list of {SUBJECT}, or "
                "replaced: others refuse it, and it uses the list that it had. Run `portico "
                "cluster leave` here, or join again",
            )
            return
        if members != self._intent.members:
            before = self._intent.members
            try:
                await self._in_force.set_members(members)
            except PorticoError as error:
                self._troubles.report(
                    SUBJECT, f"cannot use {SUBJECT} as its store has them: {error}; retrying"
                )
                return
            self._note_events(before, members)
        self._troubles.resolve(SUBJECT)

    async def pause(self) -> None:
        is_open = self._troubles.of(SUBJECT) or self._follower.trouble
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_INTERVAL if is_open else None):
                await self._woken.wait()

    def _note_events(self, before: MemberList | None, after: MemberList) -> None:
        names = before.machines.keys() if before else set[str]()
        for name in after.machines.keys() - names:
            self._events.note("machine", name, "is a machine of the cluster now")
        for name in names - after.machines.keys():
            self._events.note("machine", name, "was removed from the cluster")

    def _note(self, changes: KeyChanges) -> None:
        if any(key == CLUSTER_KEY or key.startswith(MACHINES) for key in changes):
            self._woken.set()
