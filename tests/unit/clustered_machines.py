"""A machine of a cluster with a store: the engine that ships, with all that it has for a cluster,
between ports that are in memory, in time that a test moves (`cluster_simulation.py` has several).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Protocol

from portico.core.config.desired import version_of
from portico.core.config.placement import desired_on
from portico.core.model.app import App
from portico.core.model.desired import Desired, Spec
from portico.core.model.event import Requester
from portico.core.model.instance import Exit, InstanceState
from portico.core.model.joining import JoinRequest, StoreAccess, Token
from portico.core.model.names import PROJECT
from portico.core.model.neighbour import NearList
from portico.core.model.shared import SharedMachine, encode
from portico.core.model.site import Site
from portico.core.planning.neighbours import near_text
from portico.core.planning.steps import StartInstance, Step
from portico.engine.cluster.admission import Admission
from portico.engine.cluster.change_state import ChangeState
from portico.engine.cluster.cluster_operations import ClusterOperations
from portico.engine.cluster.issuer import IssuerRole
from portico.engine.cluster.local_work import OwnWork
from portico.engine.cluster.machine_drain import MachineDrain
from portico.engine.cluster.machine_users import MachineUsers
from portico.engine.cluster.shared_files import SharedFiles
from portico.engine.cluster.turns import Turns
from portico.engine.control.assembly import Control
from portico.engine.control.control_ports import ControlPorts
from portico.engine.control.convergence import Convergence
from portico.engine.control.operations import Operations
from portico.engine.inputs import Inputs
from portico.engine.observed import BOOT_SETTING
from portico.errors import Failed, Rejected
from portico.ports.machine_signing import SignedMachine
from portico.ports.store import SessionEnded, StoreUnavailable
from tests.fakes.clock import VirtualLoop
from tests.fakes.store import FakeStore
from tests.fakes.vault import FakeVault
from tests.unit.linked_machines import Link
from tests.unit.outside import CRASHING, GOOD, Program
from tests.unit.promise import Promise
from tests.unit.simulation import Daemon, Disk, Machine, Preparation, wanted_app

WHO = Requester("root")
KEYS = {"ready_timeout": 6, "stop_timeout": 3, "drain_timeout": 4, "backoff_limit": 2}
CORES = 2


async def nothing(*_: object, **__: object) -> None: ...


def address(name: str, serial: str = "") -> bytes:
    return encode(SharedMachine(address=f"10.0.0.{name[1]}", serial=serial))


def app_of(table: Mapping) -> App:
    """Of a file as the store has it."""
    keys = {key: each for key, each in table.items() if key != "version"}
    lists = {key: tuple(table.get(key, ())) for key in ("on", "after")}
    return App(**{**keys, **lists}, **KEYS)


class MachineClock:
    """Its wall time is its own."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.ahead = 0.0

    def now(self) -> float:
        return self._loop.now() + self.ahead

    def __getattr__(self, name: str) -> object:
        return getattr(self._loop, name)


class Programs(dict):
    """By the id of a version: what is called `bad` exits at once, and what is called `once` does
    its work and ends.
    """

    failing_version = ""
    """Another one that does."""

    def __missing__(self, version: str) -> Program:
        if version.startswith("once"):
            return Program(ready_after=None, exits_after=0.2, ends=Exit(0))
        fails = version.startswith("bad") or version == self.failing_version
        return CRASHING if fails else GOOD


class FilePreparation(Preparation):
    """Of a file as the store has it."""

    def _desired(self, inputs: Inputs) -> Desired:
        machine, apps, asked = self._machine, {}, inputs.asked
        for request in inputs.requests.values():
            for name, its in request.table["apps"].items():
                found = wanted_app(name, app_of(its), its["version"], asked.get(name, 0))
                links = inputs.links_of(found.spec)
                links = machine.links if links is None else links
                spec = version_of(found.spec, asked=found.spec.asked, links=links)
                apps[name] = replace(found, spec=spec, must_end=found.app.runs_once)
        members = inputs.members.machines if inputs.members else machine.machines
        sites = {name: Site(app=name) for name, each in apps.items() if each.app.listens}
        desired = Desired(apps=apps, machines=members, sites=sites)
        return desired_on(desired, machine.name, CORES, inputs.drained_machines)

    async def links_of(self, _: Spec) -> dict[str, str]:
        return self._machine.links


class Authority:
    """Signs for all, with another serial each time."""

    def __init__(self) -> None:
        self._serial = 16

    async def certificate(self) -> str:
        return ssl.DER_cert_to_PEM_cert(b"authority")

    async def sign(self, request: str, name: str) -> SignedMachine:
        self._serial += 1
        return SignedMachine(f"{self._serial:x}", f"{self._serial:x}")

    async def writes_of_key(self) -> list:
        return []


class MemberAdmission(Admission):
    def _access(self) -> tuple[bytes, StoreAccess]:
        return b"", StoreAccess(endpoints=(), user="", password="", plain=True, authority="")


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
        vault = FakeVault()
        exposure = SimpleNamespace(look=nothing, notes_after=lambda _: [])
        report = SimpleNamespace(
            exposure=exposure, last_lines=lambda *_: [], waits_for=lambda _: ""
        )
        sites = SimpleNamespace(ask=nothing)
        convergence = Convergence(engine, report, nginx=self.nginx, sites=sites)
        operations = Operations(
            engine,
            SimpleNamespace(loop=SimpleNamespace(wake=lambda: None), local=None),
            self.in_force,
            report,
            convergence,
            ControlPorts(None, None, SimpleNamespace(nginx=self.nginx, logs=None), None),
        )
        self.change_state = ChangeState(shared, engine.state, engine.clock)
        control = Control(operations, convergence, preparation)
        work = OwnWork(engine, control, lambda *_: None)
        files = SharedFiles(self.shared.follower, vault)
        turns = Turns(self.change_state, files, work, engine.clock, engine.troubles)
        self.issuing = Issuing(self)
        shared.repeated_tasks |= {"changes of the cluster": turns, "certificates": self.issuing}
        shared.serial, self.neighbourhood.has_store = machine.certificate, True
        operations.machine_drain = MachineDrain(engine, self.neighbourhood, convergence)
        users = MachineUsers(shared, vault, lambda _: machine.link, bytes)
        self.admission = MemberAdmission(
            engine, self.in_force, shared, machine.authority, users, None
        )
        operations.shared, operations.membership = shared, self.admission
        self.asked = ClusterOperations(engine, control, self.change_state, files)


class Others(Protocol):
    """As a machine sees them."""

    store: FakeStore
    loop: VirtualLoop
    authority: Authority
    members: dict[str, Member]
    is_forged: bool

    def are_parted(self, one: str, other: str) -> bool: ...


class Lists:
    """The lists of a machine, and its way to those of others (ports.Neighbours)."""

    def __init__(self, member: Member) -> None:
        self._member, self.file = member, b""
        self.lie: NearList | None = None

    async def ask(self, machine: str) -> bytes:
        cluster, name = self._member.cluster, self._member.name
        other = cluster.members.get(machine)
        if other is None or cluster.are_parted(name, machine) or other.nginx.pid is None:
            raise Failed("it does not answer in time")
        if other.daemon and not other.knows(self._member):
            raise Rejected("it refuses this machine")
        return near_text(other.lists.lie).encode() if other.lists.lie else other.lists.file

    async def announce(self, text: str, *, drained: bool) -> None:
        self._member.reach("announce")
        self.file = text.encode()
        self._member.reach("announced")


class Member(Machine):
    preparation, new_daemon = FilePreparation, MemberDaemon
    daemon: MemberDaemon | None

    def __init__(self, name: str, cluster: Others, *, is_in: bool = True) -> None:
        """`is_in` says whether it has the files of a machine of the cluster."""
        self.cluster, self.link, self.lists = cluster, Link(cluster.store), Lists(self)
        self.authority, self.certificate, self.is_in = cluster.authority, "", is_in
        self.wall = MachineClock(cluster.loop)
        self._file: tuple[Desired | None, dict[str, App]] = (None, {})
        super().__init__(
            self.lists, lambda _: self.link, name=name, loop=cluster.loop, clock=self.wall
        )
        self.programs, self.links = Programs(), dict[str, str]()
        self.promise = Promise(self, "web")
        self.on_crash = self.on_hang = lambda _: self.promise.crashed()
        self.on_ask = lambda _: self._asked()
        self.allowed: set[str] | None = None
        """The versions that may be in force while the store is none to follow."""
        self._wanted: object = None

    # What is seen

    @property
    def version(self) -> str:
        revision = self.intent.revisions.get(PROJECT)
        return revision.document["apps"]["web"]["version"] if revision else ""

    @property
    def file(self) -> dict[str, App]:
        """With as many instances as this machine is to run."""
        desired = self.intent.desired
        if self._file[0] is not desired:
            apps = desired.apps.items()
            wanted = {n: a.app.model_copy(update={"instances": a.instances}) for n, a in apps}
            self._file = desired, wanted
        return self._file[1]

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing in force, and nothing runs."""
        return not self.intent.revisions and not self.processes and self.nginx.pid is None

    @property
    def follows(self) -> bool:
        return self.daemon is not None and not self.daemon.shared.follower.trouble

    def knows(self, other: Member) -> bool:
        """Whether its nginx takes requests of that one."""
        members = self.intent.members
        if members is None:
            return True
        return other.name in members.machines and members.serials.get(other.name) in {
            None,
            other.certificate,
        }

    # What happens to it

    def begin(self) -> None:
        if self.is_in:
            super().begin()

    def boot(self) -> None:
        self.disk.put_setting(BOOT_SETTING, "the one before")
        self.begin()

    def die(self) -> None:
        """The whole machine."""
        self.lose_daemon()
        self.nginx_ends(type(self.nginx)())
        self.processes.clear()
        self.promise.check()

    def join_with(self, serial: str, *, keeps_disk: bool) -> None:
        """It has the files of a machine of the cluster from now on."""
        self.certificate, self.is_in, self.allowed = serial, True, None
        if not keeps_disk:
            self.disk = Disk(self)
        self.begin()

    def leave(self) -> None:
        """Without those files its daemon ends, and none begins."""
        self.lose_daemon()
        self.is_in = False

    async def request_to_join(self, by: Member, *, replaces: bool) -> str:
        """The serial of the certificate that it gets. Raises PorticoError."""
        view = await by.daemon.asked.create_token(self.name if replaces else "", WHO)
        token = Token.parse(view.token)
        await asyncio.sleep(1.0)
        answer = await by.daemon.admission.join(
            JoinRequest(
                id=token.id,
                secret=token.secret,
                name=self.name,
                address=f"10.0.0.{self.name[1]}",
                port=8445,
                request="PEM",
            )
        )
        return answer.certificate

    # What holds

    def _asked(self) -> None:
        self._note_wanted()
        self.promise.asked()

    def _note_wanted(self) -> None:
        its = self.file.get("web")
        wanted = its and its.instances
        if wanted != self._wanted or self.intent.drained_apps is not None:
            self.promise.said()
        self._wanted = wanted

    def assert_allowed(self, step: Step) -> None:
        self._note_wanted()
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
        if self._life and self._life.done() and not self._life.cancelled():
            self._life.result()
        if self._errors:
            raise self._errors[0]

    def check(self) -> None:
        self._note_wanted()
        self.promise.check()
        assert self.allowed is None or self.version in self.allowed, (
            f"{self.name} has {self.version}, and the store is no order"
        )
