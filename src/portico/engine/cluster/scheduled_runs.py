"""Runs of apps with a schedule: each at one machine of those on which the app is placed, and none
while the one before has not ended on any of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Final

from portico.core.model.instance import InstanceState
from portico.core.model.shared import (
    CHANGE_KEY,
    RUNNING_APPS,
    RUNS,
    Holder,
    encode,
    is_number,
    requested_run_key,
    run_key,
    running_key,
)
from portico.core.model.shared_change import SharedChange
from portico.core.model.snapshot import ABSENT, MAX_WRITES, Compare, Delete, Put
from portico.engine.cluster.cluster_store import ClusterStore
from portico.engine.engine import Engine
from portico.engine.projects import Projects
from portico.ports.store import SessionEnded, StoreUnavailable

MINUTES_KEPT: Final = 60
"""For which a machine whose clock is late cannot run again what ran."""
SESSION_ENDED: Final = (
    "it did not run on this machine, whose session in the cluster's store has ended"
)
INTERVAL: Final = 2.0
START_TIMEOUT: Final = 30.0
"""Seconds after which a run of which nothing was seen does not start any more."""
NEVER_CLAIMED: Final = float("-inf")


class ScheduledRuns:
    def __init__(self, engine: Engine, shared: ClusterStore) -> None:
        self._engine, self._intent, self._shared = engine, engine.intent, shared
        self._clock = engine.clock
        self._projects = Projects(engine.intent)
        self._claim_times: dict[str, float] = {}
        """By shared name, when a run of it was claimed that has not been seen yet."""

    def claim(self, app: str, due: float) -> None:
        """Run it here if no other machine does."""
        wanted = self._intent.desired.apps[app]
        if wanted.instances and not wanted.stopped:
            name, minute = self._shared_name(app), int(due // 60)
            claim = partial(
                self._claim, app, run_key(name, minute), self._outdated_runs(name, minute)
            )
            self._engine.tasks.start(f"run of {app}", claim, of=app)

    def request(self, app: str, change: str) -> None:
        """The same, for a change of all machines, by its id, that asks for a run now."""
        wanted = self._intent.desired.apps[app]
        if wanted.instances and not wanted.stopped:
            key = requested_run_key(self._shared_name(app), change)
            self._engine.tasks.start(f"run of {app}", partial(self._claim, app, key, []), of=app)

    async def _claim(self, app: str, key: str, old: Sequence[Delete]) -> None:
        name, session = self._shared_name(app), self._shared.session.number
        mine = Put(key, self._holder())
        running = Put(running_key(name), self._holder(), session)
        is_new, is_free = Compare(key, ABSENT), Compare(running.key, ABSENT)
        transaction = self._shared.transaction
        if not session:
            self._skip(app, SESSION_ENDED)
            return
        before = self._claim_times.get(name, NEVER_CLAIMED)
        claimed = self._clock.monotonic()
        self._claim_times[name] = claimed
        try:
            is_mine = await transaction([is_new, is_free], [mine, running, *old])
            is_skipped = not is_mine and await transaction([is_new], [mine, *old])
        except StoreUnavailable as error:
            self._skip(app, f"it did not run on this machine: {error}")
            return
        except SessionEnded:
            self._skip(app, SESSION_ENDED)
            return
        if not is_mine and self._claim_times.get(name) == claimed:  # it starts nothing
            self._claim_times[name] = before
        if is_skipped:
            holder = self._shared.follower.value(Holder, running.key)
            at = f" on {holder.machine}" if holder else ""
            self._skip(app, f"the previous run{at} has not finished")
        if is_mine and app in self._intent.desired.apps:
            self._intent.runs.request([app])
            self._engine.loop.wake()

    def _skip(self, app: str, why: str) -> None:
        self._engine.events.note("skip", app, why)

    async def look(self) -> None:
        """Hold the key of each run that is under way here, also of one that was begun before this
        daemon was, and drop those of runs that have ended.
        """
        session = self._shared.session.number
        if not session or self._shared.follower.trouble:
            return
        under_way, end_times = self._under_way(), self._end_times()
        held = self._shared.follower.values(Holder, RUNNING_APPS)
        try:
            for name in under_way:
                self._claim_times.pop(name, None)
                if name not in held:
                    free = Compare(running_key(name), ABSENT)
                    taken = Put(running_key(name), self._holder(), session)
                    await self._shared.transaction([free], [taken])
            for name, holder in held.items():
                is_mine = holder.machine == self._shared.machine
                may_start = self._may_start(name, end_times.get(name, 0.0))
                if is_mine and name not in under_way and not may_start:
                    await self._drop(running_key(name))
        except (StoreUnavailable, SessionEnded):
            return  # what follows the store says so, and this is tried again

    async def pause(self) -> None:
        await self._clock.sleep(INTERVAL)

    async def _drop(self, key: str) -> None:
        if item := self._shared.follower.item(key):
            await self._shared.transaction([Compare(key, item.revision)], [Delete(key)])

    def _may_start(self, name: str, ended: float) -> bool:
        claimed = self._claim_times.get(name, NEVER_CLAIMED)
        return ended <= claimed and self._clock.monotonic() - claimed < START_TIMEOUT

    def _end_times(self) -> Mapping[str, float]:
        """By shared name, when the last run of an app with a schedule has ended here."""
        names, apps = self._projects.names(), self._intent.desired.apps
        known = sorted(self._engine.observed.instances.values(), key=attrgetter("since"))
        return {
            names.full_name(i.app): i.since
            for i in known
            if i.is_run and i.state is InstanceState.STOPPED and i.app in apps
        }

    def _under_way(self) -> set[str]:
        """By shared name, the apps with a schedule that have a process here."""
        apps = self._intent.desired.apps
        known = self._engine.observed.instances.values()
        active = {i.app for i in known if i.process is not None}
        names = self._projects.names()
        return {
            names.full_name(name)
            for name, app in apps.items()
            if app.app.schedule and name in active
        }

    def _shared_name(self, app: str) -> str:
        return self._projects.names().full_name(app)

    def _holder(self) -> bytes:
        return encode(Holder(machine=self._shared.machine))

    def _outdated_runs(self, name: str, minute: int) -> list[Delete]:
        known = self._shared.follower.items_of(f"{RUNS}{name}/")
        change = self._shared.follower.value(SharedChange, CHANGE_KEY)
        kept = requested_run_key(name, change.id if change else "")

        def is_old(each: str) -> bool:
            if is_number(each):
                return int(each) < minute - MINUTES_KEPT
            return f"{RUNS}{name}/{each}" != kept

        old = islice(filter(is_old, known), MAX_WRITES)
        return [Delete(f"{RUNS}{name}/{each}") for each in old]
