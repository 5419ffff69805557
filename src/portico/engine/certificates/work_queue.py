"""The work on certificates that is due: a few at a time, and those to be deployed in batches."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final

from portico.core.model.certificate import Lineage
from portico.core.planning.renewal import Action
from portico.engine.certificates.account import AccountKeeper
from portico.engine.certificates.deployment import Deployment
from portico.engine.certificates.issuance import Issuance
from portico.engine.certificates.stored_files import files_of
from portico.engine.engine import Engine
from portico.errors import PorticoError

log = logging.getLogger(__name__)

MAX_WORKERS: Final = 4
MAX_CONSECUTIVE_ACTIONS: Final = 6
"""Acts for one lineage in a row: tried, issued, asked about, and some to spare."""
PAUSE_AFTER_TOO_MANY: Final = 3600.0


class WorkQueue:
    """Whatever goes wrong with one lineage is remembered with it alone."""

    def __init__(
        self,
        engine: Engine,
        wanted: Callable[[], Awaitable[Mapping[str, Lineage]]],
        issuance: Issuance,
        account: AccountKeeper,
        deployment: Deployment,
    ) -> None:
        self._wanted, self._issuance, self._account = wanted, issuance, account
        self._deployment, self._clock = deployment, engine.clock
        self._troubles, self._tasks = engine.troubles, engine.tasks
        self._due: dict[str, Lineage] = {}
        """The last one is the next."""
        self._to_deploy: set[str] = set()
        """What waits for the next batch, which is one reload of nginx."""
        self._under_way: set[str] = set()
        self._rests: dict[str, float] = {}
        """Until when a lineage is left alone, whose care ended by a bug: an authority counts."""
        self._workers = 0
        self._deploys = False

    def clear(self) -> None:
        self._due.clear()

    def is_busy(self, name: str) -> bool:
        return name in self._under_way

    def is_resting(self, name: str) -> bool:
        return self._rests.get(name, 0.0) > self._clock.monotonic()

    def end_rest(self, name: str) -> None:
        self._rests.pop(name, None)

    def add(self, lineage: Lineage, action: Action) -> None:
        """To be done next."""
        if action.kind == "deploy":
            self._to_deploy.add(lineage.name)
        else:
            self._due.pop(lineage.name, None)
            self._due[lineage.name] = lineage

    def start_workers(self) -> None:
        """Have a few at work on what is due, as long as anything is, and one that deploys."""
        for _ in range(min(MAX_WORKERS - self._workers, len(self._due))):
            self._workers += 1
            self._tasks.start("certificates", self._work)
        if self._to_deploy and not self._deploys:
            self._deploys = True
            self._tasks.start("deployment of certificates", self._deploy)

    async def _work(self) -> None:
        try:
            while self._due:
                name, _ = self._due.popitem()
                if name not in self._under_way:
                    with self._care(name):
                        await self._do_what_is_due(name)
        finally:
            self._workers -= 1

    @contextmanager
    def _care(self, name: str) -> Iterator[None]:
        """Work for one lineage. Whatever goes wrong inside is its alone; after a bug it rests."""
        self._under_way.add(name)
        self._rests[name] = self._clock.monotonic() + PAUSE_AFTER_TOO_MANY
        try:
            with self._troubles.fence(f"work on certificate {name}", of=f"certificate {name}"):
                try:
                    yield
                except PorticoError as error:
                    self._report(name, error)
                self._rests.pop(name, None)
        finally:
            self._under_way.discard(name)

    async def _do_what_is_due(self, name: str) -> None:
        """One thing after the other, as it is wanted by then, up to its deployment."""
        for _ in range(MAX_CONSECUTIVE_ACTIONS):
            lineage = (await self._wanted()).get(name)
            action = self._issuance.next(lineage) if lineage else None
            if not lineage or not action or not action.due(self._clock.now()):
                return
            if action.kind == "deploy":
                self.add(lineage, action)
                self.start_workers()
                return
            await self._act(lineage, action)

    def _report(self, name: str, error: PorticoError) -> None:
        subject = f"certificate {name}"
        self._troubles.report(subject, f"{subject}: {error}", of=subject)

    async def _act(self, lineage: Lineage, action: Action) -> None:
        """Do one thing for one lineage. What goes wrong is remembered, and waits its time."""
        log.info("certificate %s: %s: %s", lineage.name, action.kind, action.why)
        try:
            match action.kind:
                case "issue":
                    await self._account.publish_thumbprint(await self._wanted())
                    async with self._account.in_use_by(lineage.name):
                        await self._issuance.issue(lineage, action)
                    self._troubles.resolve(f"certificate {lineage.name}")
                case "hook":
                    await self._deployment.hooks.run_again(lineage)
                case "ask_ari":
                    await self._issuance.update_window(lineage, action)
                case "deploy":
                    pass  # in batches
        except PorticoError as error:
            self._report(lineage.name, error)

    async def _deploy(self) -> None:
        """In batches: whoever becomes due while one is under way goes into the next."""
        try:
            while self._to_deploy:
                await self._deploy_batch()
        finally:
            self._deploys = False

    async def _deploy_batch(self) -> None:
        wanted = await self._wanted()
        names, self._to_deploy = sorted(self._to_deploy - self._under_way), set()
        batch = [wanted[name] for name in names if name in wanted and self._waits(wanted[name])]
        if not batch:
            return
        self._under_way.update(lineage.name for lineage in batch)
        log.info("deploying certificates: %s", ", ".join(lineage.name for lineage in batch))
        errors: Mapping[str, Exception]
        try:
            errors = await self._deployment.deploy(batch)
        except Exception as error:  # noqa: BLE001 - contained with each of them
            errors = {lineage.name: error for lineage in batch}
        for lineage in batch:
            end = partial(self._end_deployment, lineage, errors.get(lineage.name))
            self._tasks.start("certificates", end)

    def _waits(self, lineage: Lineage) -> bool:
        """For its deployment, still."""
        action = self._issuance.next(lineage)
        return action.kind == "deploy" and action.due(self._clock.now())

    async def _end_deployment(self, lineage: Lineage, error: Exception | None) -> None:
        with self._care(lineage.name):
            if error:
                raise error
            await self._deployment.finish(lineage)
            await self._issuance.clear(lineage)
            self._troubles.resolve(f"certificate {lineage.name}")
            self._troubles.resolve(files_of(lineage.name))
            self._due[lineage.name] = lineage  # there may be something to ask about it
        self.start_workers()
