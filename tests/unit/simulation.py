"""A machine in memory: a disk, an operator, and a daemon that may be lost at any step.

What the daemon knows is apart from what is on disk. Steps are performed and events applied as
the engine does it, with the same functions of the core; nothing is decided here. What must never
happen, whatever the operator does, is asserted where it would happen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, assert_never

from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.instance import (
    LEAVING,
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
from portico.core.planning.health import probed
from portico.core.planning.leaving import drain_limit
from portico.core.planning.lifecycle import (
    adopted,
    booted,
    exited,
    interrupted,
    killed,
    moved,
    spawned,
)
from portico.core.planning.order import is_back
from portico.core.planning.reconcile import plan
from portico.core.planning.steps import (
    Complete,
    Drain,
    DropApp,
    Forget,
    Interrupt,
    Kill,
    MarkWorn,
    Publish,
    Respawn,
    Restart,
    Revert,
    SkipRun,
    StartInstance,
    StartNginx,
    Step,
    Stop,
    StopNginx,
    SwitchGeneration,
    UpgradeNginx,
)
from portico.ports import AppRecord
from tests.unit.outside import ASKS_EVERY, GOOD, Daemon, Outside, Program, Running

S, E = InstanceState, InstanceEvent
SETTLE, UNASKED = 1.0, 4.0  # as in the engine
FIRST_FREE_PORT = 41000
MOST_STEPS_AT_ONCE = 200  # of one moment; more is a plan that never comes to rest


class Machine(Outside):
    def __init__(self) -> None:
        super().__init__()
        self.file: dict[str, App] = {}
        self.records: dict[str, AppRecord] = {}
        self.instances: dict[InstanceId, Instance] = {}
        self.programs: dict[str, Program] = {}
        """By the id of a version."""
        self.specs: dict[str, Spec] = {}
        self.serial = 0
        self.refuses: set[str] = set()
        """Generations that nginx does not take over."""
        self.done: list[Step] = []
        self.dies_in_a_start: Literal["", "before it", "after it"] = ""
        """The daemon is lost in the next one, when the instance is on record, without a process
        or without its process on record.
        """

    # What the operator does

    def up(self, name: str, app: App, version: str, program: Program = GOOD) -> None:
        """Put a file with this app in force. Its port is part of the version."""
        spec = Spec(f"{version}:{app.port}", name, app, "/srv", {})
        self.programs[spec.id], self.specs[spec.id] = program, spec
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
        self.specs[again.id] = again
        self._want(replace(record, target=again, abrupt=abrupt, stopped=False))

    def set_stopped(self, name: str, *, stopped: bool) -> None:
        self._want(replace(self.records[name], stopped=stopped))

    def wear(self, process: Running) -> None:
        """It has become old, or holds too much memory."""
        i = self.instances[process.instance]
        if i.state is S.READY:
            self._put(replace(i, worn="it is old"))

    def _want(self, record: AppRecord) -> None:
        self.records[record.name] = record
        self._said()

    def _said(self) -> None:
        """A plan for what was wanted before is not carried on with."""
        if self.daemon is None:
            self.begin()
        else:
            self.daemon.steps = []

    # What can be seen

    def of(self, app: str) -> list[Instance]:
        return [i for i in self.instances.values() if i.app == app]

    def in_state(self, state: InstanceState, app: str = "web") -> list[Instance]:
        return [i for i in self.of(app) if i.state is state]

    def desired(self) -> Desired:
        return Desired(
            apps={name: self._wanted(name, app) for name, app in self.file.items()},
            former={
                name: DesiredApp(name, record.target.app, 0, record.target)
                for name, record in self.records.items()
                if name not in self.file
            },
        )

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

    # What the daemon does

    def begin(self) -> None:
        """A new daemon takes over what runs."""
        self.daemon = Daemon(self.now)
        for i in self.instances.values():
            if i.state in {S.STARTING, S.BACKOFF} and i.process is None and i.id in self.processes:
                self._put(spawned(i, Process(self.serial, self.now), now=self.now))
            elif i.state is S.STARTING and i.id not in self.processes:
                self._put(interrupted(i, now=self.now))
            elif i.state in LIVE and i.id not in self.processes:
                self.daemon.ended.append((i.id, Exit()))
            else:
                self._put(adopted(i, now=self.now))

    def boot(self) -> None:
        """The machine is started anew: nothing runs, and the disk is as it was."""
        super().lose_daemon()
        self.nginx_dies()
        self.processes.clear()
        for i in list(self.instances.values()):
            self._put(booted(i, now=self.now))
        self.begin()

    def lose_daemon(self, moment: Literal["", "before it", "after it"] = "") -> None:
        """Now, or in the next start of an instance."""
        self.dies_in_a_start = moment
        if not moment:
            super().lose_daemon()

    def tick(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            super().tick(min(ASKS_EVERY / 2, end - self.now))
            if self.daemon is not None:
                self._probe(self.daemon)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.tick(0.1)
            self.rest()

    def rest(self) -> None:
        """Rounds, until there is nothing left to do in this moment."""
        for _ in range(MOST_STEPS_AT_ONCE):
            if not self.step():
                return
        raise AssertionError(f"the plan never comes to rest: {self.done[-6:]}")

    def step(self) -> bool:
        """Perform one step, of the plan under way or of a new one; False if there is none."""
        daemon = self.daemon
        assert daemon is not None
        if not daemon.steps:
            self._digest(daemon)
            world = self._observed(daemon)
            daemon.steps = list(plan(self.desired(), world, generation=self.generation))
        if not daemon.steps:
            return False
        step = daemon.steps.pop(0)
        self.done.append(step)
        self._perform(step, daemon)
        return True

    def _probe(self, daemon: Daemon) -> None:
        for i in self.instances.values():
            process, every = self.processes.get(i.id), self._keys(i.id).check.interval
            if process and i.state in PROVEN and self.now - daemon.probed_at.get(i.id, 0) >= every:
                daemon.probed_at[i.id] = self.now
                trouble = None if process.answers(self.now) else "no answer"
                daemon.heard.append((i.id, i.process, trouble))

    def _digest(self, daemon: Daemon) -> None:
        said_ready, daemon.said_ready = daemon.said_ready, []
        for instance in said_ready:
            if (heard := self.instances.get(instance)) and heard.state is S.STARTING:
                self._put(replace(heard, said_ready=True))
        for i in [i for i in self.instances.values() if i.state is S.STARTING]:
            process = self.processes.get(i.id)
            if process is None:
                continue
            if process.answers(self.now) and (i.said_ready or not self._waits(i)):
                self._put(moved(i, E.CHECK_PASSED, now=self.now))
        heard, daemon.heard = daemon.heard, []
        for instance, process_asked, trouble in heard:
            i = self.instances.get(instance)
            if i and i.process == process_asked:
                self._judge(i, trouble)
        ended, daemon.ended = daemon.ended, []
        for instance, ending in ended:
            i, app = self.instances[instance], self._keys(instance)
            self._put(exited(i, ending, app, now=self.now, jitter=0.0, reason=str(ending)))

    def _waits(self, i: Instance) -> bool:
        return self.specs[i.spec].app.wait_ready

    def _judge(self, i: Instance, trouble: str | None) -> None:
        after = probed(i, trouble, self._keys(i.id).check, now=self.now)
        process = self.processes.get(i.id)
        if after.state is S.UNREADY is not i.state and process and process.answers(self.now):
            self.on_crash(i.app)  # it has come back, and the probes do not know it yet
        self._put(after)

    def _keys(self, instance: InstanceId) -> App:
        name = self.instances[instance].app
        return self.file.get(name) or self.records[name].target.app

    def _observed(self, daemon: Daemon) -> World:
        settled = frozenset(i.id for i in self.instances.values() if self._settled(i, daemon))
        connections = {
            i: self.processes[i].connections if i in self.processes else 0
            for i in settled
            if self.instances[i].state in LEAVING
        }
        instances, endpoints = dict(self.instances), dict(daemon.endpoints)
        return World(self.now, instances, endpoints, settled, connections, self.nginx)

    def _settled(self, i: Instance, daemon: Daemon) -> bool:
        """Whether nginx was told some time ago, or does not ask about this app."""
        handed_out = {endpoint.instance for endpoint in daemon.endpoints.get(i.app, ())}
        is_out = i.state is S.UNREADY and i.app in daemon.endpoints and i.id not in handed_out
        if i.state is not S.DRAINING and not is_out:
            return False
        version, told_at = daemon.told.get(i.app, (0, daemon.begun))
        left, left_at = daemon.left.get(i.id, (daemon.version + 1, daemon.begun))
        told = version >= left and self.now - told_at > SETTLE
        unasked = self.now - max(i.since, left_at, told_at) > UNASKED
        return told or unasked or self.nginx.pid is None

    def _perform(self, step: Step, daemon: Daemon) -> None:  # noqa: PLR0912 - one case a kind
        match step:
            case StartInstance():
                self._start(step)
            case Respawn(instance):
                app = self.instances[instance].app
                if all(is_back(i) for i in self.of(app)):
                    self._assert_who_comes_before_is_ready(app)
                self._spawn(self.instances[instance])
            case Restart(instance, why):
                self._assert_nothing_is_sent_to(instance, daemon)
                self._ask_to_stop(instance, E.RESTART_ASKED, why)
            case Publish(app, endpoints):
                self._publish(app, endpoints, daemon)
            case Drain(instance, why):
                self._assert_who_comes_after_is_gone(self.instances[instance].app)
                self._put(moved(self.instances[instance], E.DRAIN_ASKED, now=self.now, reason=why))
            case MarkWorn(instance, why):
                self._put(replace(self.instances[instance], worn=why))
            case SkipRun():
                pass
            case Interrupt(instance, why):
                self._put(replace(self.instances[instance], since=self.now, reason=why))
                self.processes[instance].told_to_stop = self.now
            case Stop(instance, why):
                self._stop(self.instances[instance], why, daemon)
            case Kill(instance, why):
                self._kill(self.instances[instance], why)
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
                del self.records[app]
                self._said()
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
        if not self.of(step.app):
            self._assert_who_comes_before_is_ready(step.app)
        self.serial += 1
        spec = self.records[step.app].target
        name = InstanceId(f"{step.app}.{step.slot}.{self.serial}")
        port = step.port or (FIRST_FREE_PORT + self.serial if spec.app.listens else 0)
        new = Instance(name, step.app, step.slot, spec.id, port, S.STARTING, self.now)
        self._put(new)
        self._spawn(new)

    def _dies(self, moment: str) -> bool:
        if self.dies_in_a_start != moment:
            return False
        self.lose_daemon()
        return True

    def _spawn(self, i: Instance) -> None:
        same_port = [p for p in self.processes.values() if p.port == i.port != 0]
        assert not same_port, f"{i.id} gets port {i.port}, which {same_port[0].instance} has"
        if self._dies("before it"):
            return
        self.launch(i.id, i.app, i.port, self.programs[i.spec])
        if not self._dies("after it"):
            self._put(spawned(i, Process(self.serial, self.now), now=self.now))

    def _publish(self, app: str, endpoints: tuple[Endpoint, ...], daemon: Daemon) -> None:
        daemon.version += 1
        daemon.versions[app], daemon.endpoints[app] = daemon.version, endpoints
        handed_out = {endpoint.instance for endpoint in endpoints}
        for i in self.of(app):
            if i.id not in handed_out:
                daemon.left.setdefault(i.id, (daemon.version, self.now))
        for instance in handed_out:
            daemon.left.pop(instance, None)

    def _stop(self, i: Instance, why: str, daemon: Daemon) -> None:
        record = self.records.get(i.app)
        if not (record and record.abrupt and i.app in self.file):
            self._assert_nothing_is_sent_to(i.id, daemon)
            limit = drain_limit(i.slot, self._keys(i.id).drain_timeout)
            if i.id in self.processes and self.now - i.since < limit:
                assert self.processes[i.id].connections == 0, f"{i.id} still has connections"
        self._ask_to_stop(i.id, E.STOP_ASKED, why)
        if i.process is None:
            self._put(moved(self.instances[i.id], E.FINISHED, now=self.now, reason=why))

    def _assert_nothing_is_sent_to(self, instance: InstanceId, daemon: Daemon) -> None:
        handed_out = [e.instance for app in daemon.endpoints.values() for e in app]
        assert instance not in handed_out, f"{instance} is handed out"
        told = [peer.instance for peers in self.peers.values() for peer in peers]
        assert instance not in told, f"nginx still sends requests to {instance}"

    def _assert_who_comes_before_is_ready(self, app: str) -> None:
        for before in self.file[app].after:
            record, wanted = self.records[before], self.file[before].instances
            ready = {i.slot for i in self.in_state(S.READY, before) if i.spec == record.target.id}
            assert not record.stopped, f"{app} begins, and {before} is stopped"
            assert ready >= set(range(1, wanted + 1)), f"{app} begins before {before}"

    def _assert_who_comes_after_is_gone(self, app: str) -> None:
        """Where both are to end; an instance may always be replaced, or be one too many."""
        ending = {n for n, r in self.records.items() if n not in self.file or r.stopped}
        for other in ending if app in ending else ():
            after = (self.file.get(other) or self.records[other].target.app).after
            assert app not in after or not self.of(other), f"{app} ends before {other}"

    def _ask_to_stop(self, instance: InstanceId, event: InstanceEvent, why: str) -> None:
        self._put(moved(self.instances[instance], event, now=self.now, reason=why))
        if instance in self.processes:
            self.processes[instance].told_to_stop = self.now

    def _kill(self, i: Instance, why: str) -> None:
        assert i.state not in PROVEN | {S.DRAINING}
        self._put(killed(i, now=self.now, why=why))
        if i.id in self.processes:
            self.processes[i.id].killed = True

    def _switch(self, fingerprint: str) -> None:
        if fingerprint in self.refuses:
            self.nginx = replace(self.nginx, refused=fingerprint, refused_because="nginx says no")
            return
        self.nginx = NginxSeen(1, self.nginx.generation + 1, fingerprint)
        self.peers = {app: self.peers.get(app, ()) for app in fingerprint.split("+")}

    def _put(self, i: Instance) -> None:
        self.instances[i.id] = i
