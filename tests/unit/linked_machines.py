"""Machines that share a store in memory, with the turns that ship, in time that a test moves.

with Machines("m1", "m2", "m3") as machines:
    machines.begin("m1", "v1")
    machines.run(60)
    assert machines.versions() == {"m1": "v1", "m2": "v1", "m3": "v1"}
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Self

from msgspec.structs import replace

from portico.core.model.event import Requester
from portico.core.model.shared import (
    ClusterRecord,
    SharedMachine,
    encode,
    machine_key,
    revision_key,
)
from portico.core.model.shared_change import NamedTarget, Progress, SharedChange, SharedFile
from portico.core.model.snapshot import Put
from portico.core.planning.mirroring import prefix_of
from portico.core.planning.switches import MissedSwitches
from portico.engine.cluster.change_state import ChangeState
from portico.engine.cluster.cluster_store import ClusterStore
from portico.engine.cluster.shared_changes import SharedChanges
from portico.engine.cluster.shared_files import SharedFiles
from portico.engine.cluster.turns import Turns
from portico.engine.troubles import Troubles
from portico.errors import Failed, PorticoError, Refused
from portico.ports.store import OutcomeUnknown, StoreUnavailable, WatchEnded
from tests.fakes.clock import VirtualLoop
from tests.fakes.state import MemoryState
from tests.fakes.store import FakeStore
from tests.fakes.vault import FakeVault

CLUSTER = "6a1c"
PROJECT, APP = "shop", "web"
WORK_SECONDS = 3.0
"""How long a machine checks, and changes."""


class Link:
    """A machine's way to the store (ports.Store)."""

    def __init__(self, store: FakeStore) -> None:
        self._store = store
        self.is_cut = False
        self.loses_answer = False

    def __getattr__(self, name: str) -> Callable:
        async def call(*arguments):
            self._reach()
            return await getattr(self._store, name)(*arguments)

        return call

    async def transaction(self, compares, writes):
        self._reach()
        done = await self._store.transaction(compares, writes)
        if self.loses_answer:
            self.loses_answer = False
            raise OutcomeUnknown("the store gave no answer")
        return done

    async def watch(self, prefix, after):
        async for each in self._store.watch(prefix, after):
            if self.is_cut:
                raise WatchEnded("cut")
            yield each

    async def close(self) -> None: ...

    def _reach(self) -> None:
        if self.is_cut:
            raise StoreUnavailable("cut")


class Machine:
    """Its disk, which outlives its daemons, and what it does of a change (LocalWork)."""

    def __init__(self, name: str, machines: Machines) -> None:
        self.name, self._machines, self._loop = name, machines, machines.loop
        self.link, self.state = Link(machines.store), MemoryState()
        self.version = ""
        """The file in force; `half` while it changes."""
        self.refuses = self.fails = self.breaks = False
        self.stopped = False
        self.reloads: list[str] = []
        """Whether its app is, and what had its instances replaced."""
        self.takes = WORK_SECONDS
        self.checked: set[str] = set()
        self.is_changing = False
        self._tasks: list[asyncio.Task] = []

    def start(self) -> None:
        self.troubles = Troubles()
        engine = SimpleNamespace(
            events=None, intent=None, troubles=self.troubles, state=self.state, clock=self._loop
        )
        self.shared = ClusterStore(engine, None, CLUSTER, self.name, self.link)
        self.change_state = ChangeState(self.shared, self.state, self._loop)
        self.changes = SharedChanges(self.change_state, self._loop)
        self.vault = FakeVault()
        files = SharedFiles(self.shared.follower, self.vault)
        turns = Turns(self.change_state, files, self, self._loop, self.troubles)
        parts = (self.shared.follower, self.shared.session, turns)
        self._tasks = [self._loop.create_task(_again(each)) for each in parts]

    def kill(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks, self.is_changing = [], False

    @property
    def runs(self) -> bool:
        return bool(self._tasks)

    # LocalWork

    async def check(self, change: SharedChange, file: SharedFile | None) -> None:
        await asyncio.sleep(WORK_SECONDS)
        self._break()
        if self.refuses:
            raise Refused("the folder does not exist")
        if file is None and not self.version:
            raise Refused("no file is in force")
        self.checked.add(change.id)

    async def make(
        self,
        change: SharedChange,
        file: SharedFile | None,
        stopped: Collection[str],
        say: Callable,
    ) -> None:
        self._machines.assert_checked(change)
        self.stopped = self.stopped or APP in stopped
        await self._changed(file.source if file else self.version, say)
        self._switch(change.verb, change.id)

    async def take(
        self, project: str, file: SharedFile | None, stopped: Collection[str], say: Callable
    ) -> None:
        assert project == PROJECT
        await self._changed(file.source if file else "", say)
        self.stopped = self.stopped or APP in stopped

    async def make_up(self, missed: MissedSwitches, say: Callable) -> None:
        await self._changed(self.version, say)
        for verb in ("stop", "start", "reload"):
            if getattr(missed, verb):
                self._switch(verb, "made up")

    def _switch(self, verb: str, id_: str) -> None:
        if verb in {"stop", "start", "reload"}:
            self.stopped = verb == "stop"
        self.reloads += [id_] if verb == "reload" else []

    async def _changed(self, version: str, say: Callable) -> None:
        self._machines.assert_turn_of(self)
        before, self.is_changing = self.version, True
        if version != before:
            self.version = "half"
        say("replacing instances")
        try:
            await asyncio.sleep(self.takes)
            self._break()
            if self.fails:
                raise Failed("web.1 exited with code 1")
            self.version = version
        finally:
            self.is_changing = False

    def _break(self) -> None:
        if self.breaks:
            raise RuntimeError("a bug")


class Machines:
    def __init__(self, *names: str) -> None:
        self.loop = VirtualLoop(1000.0)
        self.store = FakeStore(self.loop)
        self._machines = {name: Machine(name, self) for name in names}

    def __enter__(self) -> Self:
        asyncio.set_event_loop(self.loop)
        root = prefix_of(CLUSTER)
        record = encode(ClusterRecord(least=1))
        address = encode(SharedMachine(address="10.0.0.1"))
        joined = [Put(root + machine_key(name), address) for name in self._machines]
        self.do(self.store.transaction([], [Put(f"{root}cluster", record), *joined]))
        for each in self:
            each.start()
        self.run(10.0)
        return self

    def __exit__(self, *_: object) -> None:
        for each in self:
            each.kill()
        self.run(1.0)
        self.loop.close()
        asyncio.set_event_loop(None)

    def __iter__(self) -> Iterator[Machine]:
        return iter(self._machines.values())

    def __getitem__(self, name: str) -> Machine:
        return self._machines[name]

    def run(self, seconds: float) -> None:
        self.loop.run_until(self.loop.time() + seconds)

    def do(self, work):
        """Its result, after at most a second."""
        task = self.loop.create_task(work)
        self.run(1.0)
        return task.result()

    def begin(self, name: str, version: str, *, without_absent: bool = False) -> SharedChange:
        """An operator on that machine puts a file in force. Raises what he is shown."""
        machine = self[name]
        who, absent = Requester("root"), "1" if without_absent else None
        change = machine.changes.draft("up", version, who, absent)
        number = machine.change_state.next_revision(PROJECT)
        key = revision_key(PROJECT, number)
        file = SharedFile(who="root", source=version, folder="/", document={}, environ={})
        sealed = self.do(FakeVault().seal(prefix_of(CLUSTER) + key, zlib.compress(encode(file))))
        target = NamedTarget(apps=(f"{PROJECT}/{APP}",))
        change = replace(change, project=PROJECT, revision=number, target=target)
        self.do(machine.changes.begin(change, [Put(key, sealed)]))
        return change

    def switch(self, verb: str, name: str, *, without_absent: bool = False) -> SharedChange:
        """An operator on that machine stops, starts or reloads the app."""
        changes = self[name].changes
        absent = "1" if without_absent else None
        change = changes.draft(verb, APP, Requester("root"), absent)
        target = NamedTarget(projects=(PROJECT,), app=APP, apps=(f"{PROJECT}/{APP}",))
        change = replace(change, target=target)
        self.do(changes.begin(change))
        return change

    def try_to(self, act: Callable, *arguments: object, **options: object) -> None:
        with suppress(PorticoError):
            act(*arguments, **options)

    def versions(self) -> dict[str, str]:
        return {each.name: each.version for each in self}

    def end(self) -> tuple[str, str]:
        """How the last change ended, and why."""
        for each in self:
            if each.runs and not each.change_state.trouble:
                return each.change_state.change.end, each.change_state.change.why
        raise AssertionError("no machine knows")

    def states(self) -> dict[str, str]:
        known: dict[str, Progress] = self["m1"].change_state.state().progress
        return {name: each.state for name, each in known.items()}

    # What holds

    def assert_turn_of(self, machine: Machine) -> None:
        """No other one changes, also if it cannot know that its turn has ended."""
        assert machine.change_state.fence
        for other in self:
            assert other is machine or not other.is_changing, f"{other.name} and {machine.name}"

    def assert_checked(self, change: SharedChange) -> None:
        for name in change.order:
            if not change.without_absent:
                assert change.id in self[name].checked, f"{name} has not checked {change.id}"


async def _again(part) -> None:
    while True:
        with suppress(Failed):  # as the daemon does
            await part.look()
        await part.pause()
