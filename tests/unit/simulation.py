"""A machine in memory: programs, connections, nginx, a disk, and a daemon that may be lost.

The daemon's own knowledge is apart from what is on disk. Steps are performed and events applied
as the engine does it, with the same functions of the core; nothing is decided here. What must
never happen, whatever the operator does, is asserted where it would happen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import assert_never

from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.instance import (
    LIVE,
    PROVEN,
    Exit,
    Instance,
    InstanceEvent,
    InstanceState,
    Process,
)
from portico.core.model.names import InstanceId
from portico.core.model.world import Endpoint, NginxSeen, World
from portico.core.planning.health import pace, probed
from portico.core.planning.leaving import drain_limit
from portico.core.planning.lifecycle import exited, killed, moved, spawned
from portico.core.planning.reconcile import plan
from portico.core.planning.steps import (
    Complete,
    Drain,
    DropApp,
    Forget,
    Kill,
    MarkWorn,
    Publish,
    Respawn,
    Restart,
    Revert,
    StartInstance,
    StartNginx,
    Step,
    Stop,
    StopNginx,
    SwitchGeneration,
    UpgradeNginx,
)
from portico.ports import AppRecord

S = InstanceState
ASKS_EVERY = 1.0  # as nginx does for answers with TTL 0
SETTLE, UNASKED = 1.0, 4.0  # as in the engine
MOST_STEPS_AT_ONCE = 200  # of one moment; more is a plan that never comes to rest


@dataclass(frozen=True)
class Program:
    """How the processes of a version behave; times in seconds, None is never."""

    ready_after: float | None = 0.4
    exits_after: float | None = None
    stops_after: float | None = 0.2
    """From the stop signal to its end."""
    exit_code: int = 1


GOOD = Program()
CRASHING = Program(ready_after=None, exits_after=0.2)
HANGING = Program(ready_after=None)
STUBBORN = Program(stops_after=None)


@dataclass(eq=False)
class Running:
    """A process, as it really is."""

    instance: InstanceId
    app: str
    port: int
    program: Program
    born: float
    told_to_stop: float | None = None
    killed: bool = False
    hung: bool = False
    """It runs and answers nothing, not even a signal that it could ignore."""
    connections: int = 0


@dataclass(eq=False)
class Daemon:
    """What is lost with the daemon."""

    begun: float
    endpoints: dict[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    version: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    told: dict[str, tuple[int, float]] = field(default_factory=dict)
    left: dict[InstanceId, tuple[int, float]] = field(default_factory=dict)
    """Since which version, and when, an instance is in no answer."""
    ended: list[tuple[InstanceId, Exit]] = field(default_factory=list)
    asked_at: dict[InstanceId, float] = field(default_factory=dict)
    """When an instance was probed last."""
    heard: list[tuple[InstanceId, Process | None, str | None]] = field(default_factory=list)
    """Which instance, which process of it, and what the probe found wrong."""
    steps: list[Step] = field(default_factory=list)
    """The rest of the plan under way."""


class Machine:
    def __init__(self) -> None:
        self.now = 1000.0
        self.file: dict[str, App] = {}
        self.records: dict[str, AppRecord] = {}
        self.instances: dict[InstanceId, Instance] = {}
        self.programs: dict[str, Program] = {}
        """By the id of a version."""
        self.serial = 0
        self.processes: dict[InstanceId, Running] = {}
        self.nginx = NginxSeen()
        self.refuses: set[str] = set()
        """Generations that nginx does not take over."""
        self.peers: dict[str, tuple[Endpoint, ...]] = {}
        """What nginx was told last, for every app that its generation names."""
        self.asked_at: dict[str, float] = {}
        self.daemon: Daemon | None = None
        self.done: list[Step] = []
        self.on_crash: Callable[[str], None] = lambda app: None
        """Called when a process that answered has ended by itself."""
        self.on_hang: Callable[[str], None] = lambda app: None
        self.on_ask: Callable[[str], None] = lambda app: None

    # What the operator does

    def up(self, name: str, app: App, version: str, program: Program = GOOD) -> None:
        """Put a file with this app in force; the app's other keys are in no version's id."""
        spec = Spec(f"{version}:{app.port}", name, app, "/srv", {})
        self.programs[spec.id] = program
        record = self.records.get(name) or AppRecord(name, spec, None)
        self.file[name] = app
        self._want(replace(record, target=spec, abrupt=False))

    def up_again(self, name: str, app: App) -> None:
        """The same with another number of instances and the like: no new version."""
        self.file[name] = app
        self._said()

    def remove(self, name: str) -> None:
        self.file.pop(name, None)
        self._said()

    def reload(self, name: str, *, abrupt: bool = False) -> None:
        record = self.records[name]
        again = replace(record.target, asked=record.target.asked + 1)
        again = replace(again, id=f"{again.id.split('+')[0]}+{again.asked}")
        self.programs[again.id] = self.programs[record.target.id]
        self._want(replace(record, target=again, abrupt=abrupt, stopped=False))

    def set_stopped(self, name: str, *, stopped: bool) -> None:
        self._want(replace(self.records[name], stopped=stopped))

    def _want(self, record: AppRecord) -> None:
        self.records[record.name] = record
        self._said()

    def _said(self) -> None:
        """A plan for what was wanted before is not carried on with."""
        if self.daemon is None:
            self.begin()
        else:
            self.daemon.steps = []

    # What happens

    def tick(self, seconds: float) -> None:
        """Time passes, while the daemon is busy with something else."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + ASKS_EVERY / 2)
            for process in list(self.processes.values()):
                self._live(process)
            for app in self.peers:
                if self.now - self.asked_at.get(app, 0.0) >= ASKS_EVERY:
                    self.ask(app)
            if self.daemon is not None:
                self._probe(self.daemon)

    def ask(self, app: str) -> None:
        """nginx asks where an app is; without a daemon it keeps what it has."""
        if self.daemon is None or self.nginx.pid is None or app not in self.daemon.endpoints:
            return
        self.asked_at[app] = self.now
        self.peers[app] = self.daemon.endpoints[app]
        version = self.daemon.versions[app]
        if self.daemon.told.get(app, (0, 0.0))[0] < version:
            self.daemon.told[app] = version, self.now
        self.on_ask(app)

    def crash(self, process: Running, ending: Exit = Exit(1)) -> None:
        """It ends by itself, or by somebody else's hand."""
        if self._answers(process):
            self.on_crash(process.app)
        self._end(process, ending)

    def hang(self, process: Running) -> None:
        if self._answers(process):
            self.on_hang(process.app)
        process.hung = True

    def wear(self, process: Running) -> None:
        """It has become old, or holds too much memory."""
        i = self.instances[process.instance]
        if i.state is S.READY:
            self._put(replace(i, worn="it is old"))

    def nginx_dies(self) -> None:
        self.nginx = replace(self.nginx, pid=None)
        self.peers = {}

    def lose_daemon(self) -> None:
        self.daemon = None

    def begin(self) -> None:
        """A new daemon takes over what runs."""
        self.daemon = Daemon(self.now)
        for i in self.instances.values():
            if i.state in LIVE and i.id not in self.processes:
                self.daemon.ended.append((i.id, Exit()))

    def _live(self, process: Running) -> None:
        program, age = process.program, self.now - process.born
        if process.killed:
            self._end(process, Exit(signal=9))
        elif program.exits_after is not None and age >= program.exits_after:
            self.crash(process, Exit(program.exit_code))
        elif process.hung:
            pass
        elif process.told_to_stop is not None and program.stops_after is not None:
            if self.now - process.told_to_stop >= program.stops_after:
                self._end(process, Exit(0))

    def _probe(self, daemon: Daemon) -> None:
        for i in self.instances.values():
            every = pace(self.file.get(i.app, App()).check)
            process = self.processes.get(i.id)
            if process and i.state in PROVEN and self.now - daemon.asked_at.get(i.id, 0) >= every:
                daemon.asked_at[i.id] = self.now
                trouble = None if self._answers(process) else "no answer"
                daemon.heard.append((i.id, i.process, trouble))

    def _end(self, process: Running, ending: Exit) -> None:
        del self.processes[process.instance]
        if self.daemon is not None:
            self.daemon.ended.append((process.instance, ending))

    # What can be seen

    def answering(self, app: str) -> list[Endpoint]:
        """The peers nginx has of an app that would answer a request now."""
        return [
            peer
            for peer in self.peers.get(app, ())
            if peer.instance in self.processes and self._answers(self.processes[peer.instance])
        ]

    def in_state(self, state: InstanceState, app: str = "web") -> list[Instance]:
        return [i for i in self.instances.values() if i.app == app and i.state is state]

    def desired(self) -> Desired:
        return Desired(apps={name: self._wanted(name, app) for name, app in self.file.items()})

    @property
    def generation(self) -> str:
        return "+".join(sorted(name for name, app in self.file.items() if app.listens))

    def _wanted(self, name: str, app: App) -> DesiredApp:
        record = self.records[name]
        good = record.good.id if record.good else None
        assert app.instances != "max"
        return DesiredApp(
            name, app, app.instances, record.target, good, record.stopped, record.abrupt
        )

    def _answers(self, process: Running) -> bool:
        if process.program.ready_after is None or process.told_to_stop is not None or process.hung:
            return False
        return self.now - process.born >= process.program.ready_after

    # What the daemon does

    def rest(self) -> None:
        """Rounds, until there is nothing left to do in this moment."""
        for _ in range(MOST_STEPS_AT_ONCE):
            if not self.step():
                return
        raise AssertionError(f"the plan never comes to rest: {self.done[-6:]}")

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.tick(0.1)
            self.rest()
        self.rest()

    def step(self) -> bool:
        """Perform one step, of the plan under way or of a new one; False if there is none."""
        daemon = self.daemon
        assert daemon is not None
        if not daemon.steps:
            self._digest(daemon)
            daemon.steps = list(
                plan(self.desired(), self.world(daemon), generation=self.generation)
            )
        if not daemon.steps:
            return False
        step = daemon.steps.pop(0)
        self.done.append(step)
        self._perform(step, daemon)
        return True

    def world(self, daemon: Daemon) -> World:
        settled = frozenset(i.id for i in self.instances.values() if self._settled(i, daemon))
        connections = {
            i: self.processes[i].connections if i in self.processes else 0 for i in settled
        }
        return World(
            self.now,
            dict(self.instances),
            dict(daemon.endpoints),
            settled,
            connections,
            self.nginx,
        )

    def _settled(self, i: Instance, daemon: Daemon) -> bool:
        handed_out = {endpoint.instance for endpoint in daemon.endpoints.get(i.app, ())}
        is_out = i.state is S.UNREADY and i.app in daemon.endpoints and i.id not in handed_out
        leaves = i.state is S.DRAINING or is_out
        if not leaves or self.nginx.pid is None:
            return leaves
        version, told_at = daemon.told.get(i.app, (0, daemon.begun))
        left, left_at = daemon.left.get(i.id, (daemon.version + 1, daemon.begun))
        told = version >= left and self.now - told_at > SETTLE
        return told or self.now - max(i.since, left_at, told_at) > UNASKED

    def _digest(self, daemon: Daemon) -> None:
        for i in self.in_any_app(S.STARTING):
            process = self.processes.get(i.id)
            if process and self._answers(process):
                self._put(moved(i, InstanceEvent.CHECK_PASSED, now=self.now))
        self._judge(daemon)
        ended, daemon.ended = daemon.ended, []
        for instance, ending in ended:
            self._exited(self.instances[instance], ending)

    def _judge(self, daemon: Daemon) -> None:
        heard, daemon.heard = daemon.heard, []
        for instance, process, trouble in heard:
            i = self.instances.get(instance)
            if i is None or i.process != process:
                continue
            after = probed(i, trouble, self.file.get(i.app, App()).check, now=self.now)
            running = self.processes.get(i.id)
            if after.state is S.UNREADY is not i.state and running and self._answers(running):
                self.on_crash(i.app)  # it has come back, and the probes do not know it yet
            self._put(after)

    def in_any_app(self, state: InstanceState) -> list[Instance]:
        return [i for i in self.instances.values() if i.state is state]

    def _exited(self, i: Instance, ending: Exit) -> None:
        app = self.file.get(i.app, App())
        self._put(exited(i, ending, app, now=self.now, jitter=0.0, reason=str(ending)))

    def _perform(self, step: Step, daemon: Daemon) -> None:  # noqa: PLR0912 - one case a kind
        match step:
            case StartInstance():
                self._start(step)
            case Respawn(instance):
                self._spawn(self.instances[instance])
            case Restart(instance, why):
                self._restart(self.instances[instance], why, daemon)
            case Publish(app, endpoints):
                self._publish(app, endpoints, daemon)
            case Drain(instance, why):
                self._move(instance, InstanceEvent.DRAIN_ASKED, why)
            case MarkWorn(instance, why):
                self._put(replace(self.instances[instance], worn=why))
            case Stop(instance, why):
                self._stop(self.instances[instance], why, daemon)
            case Kill(instance):
                self._kill(self.instances[instance])
            case Forget(instance):
                del self.instances[instance]
            case Revert(app):
                record = self.records[app]
                assert record.good is not None
                self._want(replace(record, target=record.good, abrupt=False))
            case Complete(app):
                record = self.records[app]
                self._want(replace(record, good=record.target, abrupt=False))
            case DropApp(app):
                daemon.endpoints.pop(app, None)
                daemon.told.pop(app, None)
                self.records.pop(app, None)
            case SwitchGeneration(fingerprint):
                self._switch(fingerprint)
            case StartNginx():
                self.nginx = replace(self.nginx, pid=1)
                self.peers = dict.fromkeys(self.nginx.live.split("+"), ())
            case UpgradeNginx():
                self.nginx = replace(self.nginx, outdated=False, halfway=False)
            case StopNginx():
                self.nginx, self.peers = NginxSeen(), {}
            case _:
                assert_never(step)

    def _start(self, step: StartInstance) -> None:
        self.serial += 1
        spec = self.records[step.app].target
        name = InstanceId(f"{step.app}.{step.slot}.{self.serial}")
        port = step.port or (41000 + self.serial if spec.app.listens else 0)
        new = Instance(name, step.app, step.slot, spec.id, port, S.STARTING, self.now)
        self._put(new)
        self._spawn(new)

    def _spawn(self, i: Instance) -> None:
        same_port = [p for p in self.processes.values() if p.port == i.port != 0]
        assert not same_port, f"{i.id} gets port {i.port}, which {same_port[0].instance} has"
        process = Running(i.id, i.app, i.port, self.programs[i.spec], self.now)
        self._put(spawned(i, Process(self.serial, self.now), now=self.now))
        self.processes[i.id] = process

    def _publish(self, app: str, endpoints: tuple[Endpoint, ...], daemon: Daemon) -> None:
        daemon.version += 1
        daemon.versions[app], daemon.endpoints[app] = daemon.version, endpoints
        handed_out = {endpoint.instance for endpoint in endpoints}
        for i in self.instances.values():
            if i.app == app and i.id not in handed_out:
                daemon.left.setdefault(i.id, (daemon.version, self.now))
        for instance in handed_out:
            daemon.left.pop(instance, None)

    def _stop(self, i: Instance, why: str, daemon: Daemon) -> None:
        record = self.records.get(i.app)
        if not (record and record.abrupt and i.app in self.file):
            self._assert_may_be_stopped(i, daemon)
        self._move(i.id, InstanceEvent.STOP_ASKED, why)
        if i.id in self.processes:
            self.processes[i.id].told_to_stop = self.now

    def _restart(self, i: Instance, why: str, daemon: Daemon) -> None:
        self._assert_gets_nothing(i, daemon)
        self._move(i.id, InstanceEvent.RESTART_ASKED, why)
        if i.id in self.processes:
            self.processes[i.id].told_to_stop = self.now

    def _assert_gets_nothing(self, i: Instance, daemon: Daemon) -> None:
        handed_out = daemon.endpoints.get(i.app, ())
        assert all(endpoint.instance != i.id for endpoint in handed_out), f"{i.id} is handed out"
        told = self.peers.get(i.app, ())
        assert all(peer.instance != i.id for peer in told), f"nginx still sends to {i.id}"

    def _assert_may_be_stopped(self, i: Instance, daemon: Daemon) -> None:
        self._assert_gets_nothing(i, daemon)
        app = self.file.get(i.app, App())
        waited = self.now - i.since
        if i.id in self.processes and waited < drain_limit(i.slot, app.drain_timeout):
            assert self.processes[i.id].connections == 0, f"{i.id} still has connections"

    def _kill(self, i: Instance) -> None:
        assert i.state in {S.STARTING, S.STOPPING, S.RESTARTING}
        self._put(killed(i, now=self.now))
        if i.id in self.processes:
            self.processes[i.id].killed = True

    def _switch(self, fingerprint: str) -> None:
        if fingerprint in self.refuses:
            self.nginx = replace(self.nginx, refused=fingerprint)
            return
        self.nginx = NginxSeen(1, self.nginx.generation + 1, fingerprint)
        self.peers = {app: self.peers.get(app, ()) for app in fingerprint.split("+")}

    def _move(self, instance: InstanceId, event: InstanceEvent, why: str) -> None:
        self._put(moved(self.instances[instance], event, now=self.now, reason=why))

    def _put(self, i: Instance) -> None:
        self.instances[i.id] = i
