"""Three machines with a store in one loop: on each the engine that ships, with all that it has for
a cluster, between ports that are in memory, in time that a test moves.

Any of them may lose its daemon, its way to the store or to another machine; the store may be wiped
or be an older one; and a machine may write what belongs to another one (`Cluster.lie`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

from portico.core.config.desired import version_of
from portico.core.model.app import App
from portico.core.model.desired import Desired, Spec
from portico.core.model.event import Requester
from portico.core.model.instance import InstanceState
from portico.core.model.names import PROJECT
from portico.core.model.neighbour import NearList
from portico.core.model.requests import DocumentRequest
from portico.core.model.shared import (
    CHANGE_KEY,
    CLUSTER_KEY,
    ISSUER_CLAIM_KEY,
    ISSUER_KEY,
    PROGRESS,
    RESTORE_KEY,
    TURN_KEY,
    ClusterRecord,
    SharedMachine,
    decoded,
    encoded,
    machine_key,
)
from portico.core.model.shared_change import Progress, SharedChange
from portico.core.model.site import Site
from portico.core.model.snapshot import Snapshot
from portico.core.planning.mirroring import prefix_of
from portico.core.planning.neighbours import near_text
from portico.core.planning.steps import StartInstance, Step
from portico.engine.changes import Changes
from portico.engine.cluster.change_state import ChangeState
from portico.engine.cluster.cluster_operations import ClusterOperations
from portico.engine.cluster.issuer import IssuerRole
from portico.engine.cluster.local_work import OwnWork
from portico.engine.cluster.machine_drain import MachineDrain
from portico.engine.cluster.session import DURATION
from portico.engine.cluster.turns import Turns
from portico.engine.control.assembly import Control
from portico.engine.control.convergence import Convergence
from portico.engine.control.operations import Operations
from portico.engine.inputs import Inputs
from portico.errors import Failed, PorticoError
from portico.ports.store import SessionEnded, StoreUnavailable
from tests.fakes.clock import VirtualLoop
from tests.fakes.store import FakeStore
from tests.fakes.vault import FakeVault
from tests.unit.linked_machines import Link
from tests.unit.outside import CRASHING, GOOD, Program
from tests.unit.promise import Promise
from tests.unit.simulation import CLUSTER, Daemon, Machine, Preparation, wanted_app

NAMES = ("m1", "m2", "m3")
INSTANCES = 2
PREFIX = prefix_of(CLUSTER)
WHO = Requester("root")
KEYS = {"ready_timeout": 6, "stop_timeout": 3, "drain_timeout": 4, "backoff_limit": 2}


async def nothing(*_: object, **__: object) -> None: ...


class Programs(dict):
    """By the id of a version: what is called `bad` exits at once."""

    failing_version = ""
    """Another one that does."""

    def __missing__(self, version: str) -> Program:
        fails = version.startswith("bad") or version == self.failing_version
        return CRASHING if fails else GOOD


class FilePreparation(Preparation):
    """Of a file as the store has it."""

    def _desired(self, inputs: Inputs) -> Desired:
        machine, apps = self._machine, {}
        for request in inputs.requests.values():
            for name, its in request.table["apps"].items():
                app = App(instances=its["instances"], on=tuple(its["on"]), **KEYS)
                found = wanted_app(name, app, its["version"], inputs.asked.get(name, 0))
                links = inputs.links_of(found.spec)
                links = self._machine.links if links is None else links
                spec = version_of(found.spec, asked=found.spec.asked, links=links)
                apps[name] = replace(found, spec=spec)
        members = inputs.members.machines if inputs.members else machine.machines
        sites = {name: Site(app=name) for name in apps}
        return Desired(apps=apps, machines=members, machine=machine.name, sites=sites)

    async def links_of(self, _: Spec) -> dict[str, str]:
        return self._machine.links


class Issuing:
    """What wants to obtain certificates, if no other machine does."""

    def __init__(self, daemon: MemberDaemon) -> None:
        self._clock = daemon.engine.clock
        self.role = IssuerRole(daemon.shared, self._clock)

    async def look(self) -> None:
        with suppress(StoreUnavailable, SessionEnded):
            await self.role.update(needed=True, is_busy=False, is_interrupted=False)

    async def pause(self) -> None:
        await self._clock.sleep(1.0)


class MemberDaemon(Daemon):
    """With what an operator can ask for, as in daemon/wiring.py."""

    def __init__(self, machine: Member, group: asyncio.TaskGroup) -> None:
        super().__init__(machine, group)
        engine, shared, preparation = self.engine, self.shared, self.preparation
        versions, vault = engine.intent.versions, FakeVault()
        changes = Changes(self.tasks, engine.clock, versions=lambda: versions.targets)
        exposure = SimpleNamespace(look=nothing, notes_after=lambda _: [])
        report = SimpleNamespace(
            exposure=exposure, last_lines=lambda *_: [], waits_for=lambda _: ""
        )
        sites = SimpleNamespace(ask=nothing)
        convergence = Convergence(engine, report, nginx=self.nginx, sites=sites)
        others = ("cache_purge", "dashboard", "edited", "logs", "nginx_programs")
        operations = Operations(
            engine,
            changes,
            SimpleNamespace(loop=SimpleNamespace(wake=lambda: None), local=None),
            self.in_force,
            report,
            convergence,
            **dict.fromkeys((*others, "traffic")),
        )
        self.change_state = ChangeState(shared, engine.state, engine.clock)
        control = Control(operations, changes, convergence, preparation)
        work = OwnWork(engine, control, lambda *_: None)
        turns = Turns(self.change_state, vault, work, engine.clock, engine.troubles)
        self.issuing = Issuing(self)
        shared.repeated_tasks |= {"changes of the cluster": turns, "certificates": self.issuing}
        self.asked = ClusterOperations(engine, control, self.change_state, vault)
        self.machine_drain = MachineDrain(engine, self.neighbourhood, changes, convergence)


class Lists:
    """The lists of a machine, and its way to those of others (ports.Neighbours)."""

    def __init__(self, member: Member) -> None:
        self._member, self.file = member, b""
        self.lie: NearList | None = None

    async def ask(self, machine: str) -> bytes:
        cluster, name = self._member.cluster, self._member.name
        other = cluster.members.get(machine)
        if other is None or {name, machine} in cluster.parted or other.nginx.pid is None:
            raise Failed("it does not answer in time")
        return near_text(other.lists.lie).encode() if other.lists.lie else other.lists.file

    async def announce(self, text: str, *, drained: bool) -> None:
        self._member.reach("announce")
        self.file = text.encode()
        self._member.reach("announced")


class Member(Machine):
    preparation, new_daemon = FilePreparation, MemberDaemon
    daemon: MemberDaemon | None

    def __init__(self, name: str, cluster: Cluster) -> None:
        self.cluster, self.link, self.lists = cluster, Link(cluster.store), Lists(self)
        super().__init__(self.lists, lambda _: self.link, name=name, loop=cluster.loop)
        self.programs, self.links = Programs(), dict[str, str]()
        self.promise = Promise(self, "web")
        self.on_crash = self.on_hang = lambda _: self.promise.crashed()
        self.on_ask = lambda _: self.promise.asked()
        self.allowed: set[str] | None = None
        """The versions that may be in force while the store is none to follow."""

    @property
    def version(self) -> str:
        revision = self.intent.revisions.get(PROJECT)
        return revision.document["apps"]["web"]["version"] if revision else ""

    def assert_allowed(self, step: Step) -> None:
        super().assert_allowed(step)
        if isinstance(step, StartInstance) and not self.cluster.is_forged:
            target = self.records[step.app].target.id
            replaced = [
                i
                for i in self.in_state(InstanceState.READY, step.app)
                if i.slot == step.slot and i.spec != target
            ]
            is_reload = "+" in target  # it is finished where it was begun
            if replaced and not is_reload:
                assert self.daemon.change_state.fence, f"{self.name} replaces without the turn"

    def assert_sound(self) -> None:
        """Nothing has failed that was not foreseen."""
        if self._life.done() and not self._life.cancelled():
            self._life.result()
        if self._errors:
            raise self._errors[0]

    def check(self) -> None:
        if self.intent.drained_apps is not None:
            self.promise.said()
        self.promise.check()
        assert self.allowed is None or self.version in self.allowed, (
            f"{self.name} has {self.version}, and the store is no order"
        )


class Cluster:
    def __init__(self) -> None:
        self.loop = VirtualLoop(1000.0)
        self.store, self.members = FakeStore(self.loop), dict[str, Member]()
        self.parted = list[set[str]]()
        self.forged_until = 0.0
        """As long as a turn may last that another machine took away."""
        self._right: Snapshot | None = None
        """What the store had before it was wiped or replaced by an older one."""
        self.count = 0
        record = encoded(ClusterRecord(least=1))
        self.put({CLUSTER_KEY: record, **{machine_key(n): address(n) for n in NAMES}})
        self.first = self.store.all
        for name in NAMES:
            self.members[name] = Member(name, self)
        self.run(4.0)

    def close(self) -> None:
        for each in self:
            each.lose_daemon()
        self.loop.close()

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members.values())

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    @property
    def alive(self) -> list[Member]:
        return [each for each in self if each.daemon is not None]

    @property
    def is_forged(self) -> bool:
        return self.loop.time() < self.forged_until

    def run(self, seconds: float) -> None:
        """In small parts, so that what must hold is looked at often."""
        end = self.loop.time() + seconds
        while self.loop.time() < end:
            for each in self.alive:
                each.daemon.attend(float("inf"))
            self.loop.run_until(min(end, self.loop.time() + 0.5))
            for each in self:
                each.assert_sound()
            self.check()

    # What operators do

    def ask(self, name: str, work: Awaitable[object]) -> asyncio.Task[str]:
        """Its result is why it was refused; empty if it was begun."""

        async def asked() -> str:
            try:
                await work
            except PorticoError as error:
                return str(error)
            return ""

        return self[name].daemon.group.create_task(asked())

    def up(
        self, name: str, *, bad: bool = False, without_absent: bool = False, on: tuple = ()
    ) -> asyncio.Task:
        self.count += 1
        version = f"{'bad' if bad else 'v'}{self.count}"
        table = {
            "project": "shop",
            "apps": {"web": {"version": version, "instances": INSTANCES, "on": on}},
        }
        request = DocumentRequest(source="/srv/portico.toml", folder="/srv", table=table)
        asked = self[name].daemon.asked
        return self.ask(name, asked.up(request, WHO, "1" if without_absent else None))

    # What happens to the store

    def put(self, values: dict[str, bytes | None]) -> None:
        """Whoever may; None deletes."""
        self.store.write({PREFIX + key: value for key, value in values.items()})

    def lie(self, key: str, value: bytes | None) -> None:
        """A machine writes what is not its own."""
        if self._right is None:
            if key == TURN_KEY:
                self.forged_until = self.loop.time() + DURATION
            self.put({key: value})

    def become(self, snapshot: Snapshot) -> None:
        """The store is wiped, or an older one."""
        if self._right is None:
            self._right = self.store.all
            for each in self:
                each.allowed = {each.version, *self._known_versions()}
        self.store.replace(snapshot)

    def become_right(self) -> None:
        if self._right is not None:
            self.store.replace(self._right)
            self._right = None
            for each in self:
                each.allowed = None

    def _known_versions(self) -> set[str]:
        """Of what is in force in the cluster, or is about to be."""
        return {each.version for each in self} | {f"v{self.count}", f"bad{self.count}"}

    # What holds

    def check(self) -> None:
        for each in self.alive:
            each.check()
        if not self.is_forged:
            holders = [each.name for each in self.alive if each.daemon.change_state.fence]
            assert len(holders) <= 1, f"two turns: {holders}"
        issuers = [each.name for each in self.alive if each.daemon.issuing.role.fence]
        assert len(issuers) <= 1, f"two issuers: {issuers}"
        for each in self._records(PROGRESS, Progress).values():
            assert "internal error" not in each.why

    @property
    def change(self) -> SharedChange | None:
        item = self.store.peek(PREFIX + CHANGE_KEY)
        return decoded(SharedChange, item.value) if item else None

    def _records(self, start: str, kind: type) -> dict:
        items = self.store.all.items.items()
        whole = PREFIX + start
        read = {k[len(whole) :]: decoded(kind, i.value) for k, i in items if k.startswith(whole)}
        return {name: each for name, each in read.items() if each is not None}

    def _right_values(self) -> dict[str, bytes | None]:
        """Of what no machine writes again: no session ends what another one has written."""
        items = ((key, self.store.peek(PREFIX + key)) for key in (ISSUER_KEY, ISSUER_CLAIM_KEY))
        forged = dict.fromkeys(key for key, item in items if item and not item.session)
        return {CLUSTER_KEY: encoded(ClusterRecord(least=1)), RESTORE_KEY: None, **forged}

    def calm(self) -> None:
        """Nothing goes wrong any more, and a good version is applied."""
        self.become_right()
        self.parted.clear()
        self.put({machine_key(name): address(name) for name in NAMES} | self._right_values())
        for each in self:
            each.link.is_cut = each.link.loses_answer = False
            each.lists.lie = None
            if each.daemon is None:
                each.begin()
        self.run(100.0)
        for each in self:
            if each.intent.drained_apps is not None:
                each.daemon.machine_drain.undrain(WHO)
        self.ask("m1", self["m1"].daemon.asked.start("web", WHO))
        self.run(40.0)
        assert self.change is None or self.change.end, self.change
        last = self.up("m1")
        self.run(80.0)
        assert last.result() == ""
        version = f"v{self.count}"
        assert self.change.end == "done", self.change
        assert {each.version for each in self} == {version}
        for each in self:
            target = each.records["web"].target.id
            assert {i.spec for i in each.in_state(InstanceState.READY)} == {target}
            assert len(each.answering("web")) == INSTANCES
        assert self.store.peek(PREFIX + TURN_KEY) is None
        assert sum(bool(each.daemon.issuing.role.fence) for each in self) == 1


def address(name: str) -> bytes:
    return encoded(SharedMachine(address=f"10.0.0.{name[1]}"))
