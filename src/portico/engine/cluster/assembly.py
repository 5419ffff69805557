"""What a daemon has of the cluster's store, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from portico import __version__
from portico.core.model.shared import Presence, encoded
from portico.core.model.stored import Compare, Write
from portico.engine.cluster.following import Following
from portico.engine.cluster.session import Session
from portico.engine.engine import Engine
from portico.engine.tasks import Tasks
from portico.errors import Failed
from portico.ports.store import Store

END_TIMEOUT: Final = 1.0
MAX_TROUBLES, MAX_TROUBLE_LENGTH = 10, 200
"""Of what other machines are shown."""


class Shared:
    """Made where HOME/cluster has a store.json; a machine without one imports nothing of it."""

    def __init__(
        self,
        engine: Engine,
        cluster: str,
        machine: str,
        store: Store,
        thumbprint: Callable[[], str] = str,
    ) -> None:
        """`cluster` is its UUID, `machine` the own name; `thumbprint` is as in `Presence`."""
        self.cluster, self.machine, self.store = cluster, machine, store
        self._troubles = engine.troubles
        self.following = Following(
            cluster, store=store, state=engine.state, troubles=engine.troubles, clock=engine.clock
        )
        self.session = Session(
            machine, store, self.following, engine.troubles, engine.clock, self._presence
        )
        self._thumbprint = thumbprint
        self.in_force: Callable[[], Mapping[str, int]] = dict
        """What the presence of this machine says, as in `Presence`."""

    def start(self, tasks: Tasks) -> None:
        tasks.repeat("the cluster's store", self.following.look, self.following.pause)
        tasks.repeat("session in the cluster's store", self.session.look, self.session.pause)

    async def end(self) -> None:
        """The daemon exits: the others see it at once, or when the session ends by itself."""
        with suppress(TimeoutError, Failed):
            async with asyncio.timeout(END_TIMEOUT):
                await self.session.end()
        await self.store.close()

    async def transaction(
        self, compares: Sequence[Compare], writes: Sequence[Write]
    ) -> int | None:
        """As `Store.transaction`, by keys without prefix. Raises StoreUnavailable too where the
        store is not followed.
        """
        self.following.assert_current()
        prefix = self.following.prefix
        return await self.store.transaction(
            [replace(each, key=prefix + each.key) for each in compares],
            [replace(each, key=prefix + each.key) for each in writes],
        )

    def _presence(self) -> bytes:
        sentences = self._troubles.sentences()[:MAX_TROUBLES]
        troubles = tuple(each[:MAX_TROUBLE_LENGTH] for each in sentences)
        return encoded(
            Presence(
                version=__version__,
                in_force=self.in_force(),
                thumbprint=self._thumbprint(),
                troubles=troubles,
            )
        )
