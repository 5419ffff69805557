"""A machine in memory: a disk, an operator, and a daemon that may be lost at any call.

The daemon is the engine that ships, between ports that are in memory, on virtual time. What must
never happen, whatever the operator does, is asserted where it would happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Self

from portico.core.config.placement import desired_on
from portico.core.model.app import App
from portico.core.model.cluster import Machine as ClusterMachine
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.instance import PROVEN_STATES, Instance, InstanceState
from portico.core.model.names import PROJECT, InstanceId
from portico.core.model.place import Build
from portico.core.model.records import AppRecord, Revision
from portico.core.model.site import Site
from portico.core.model.world import World
from portico.core.planning.order import ran_before_boot
from portico.core.planning.steps import Drain, Kill, Respawn, Restart, StartInstance, Step, Stop
from portico.core.planning.teardown import drain_limit
from portico.daemon.life import take_over
from portico.engine.changes import Changes
from portico.engine.cluster.cluster_store import ClusterStore
from portico.engine.cluster.neighbourhood import Neighbourhood
from portico.engine.cluster.totals import Totals
from portico.engine.engine import Engine
from portico.engine.execute import Executor
from portico.engine.in_force import InForce
from portico.engine.inputs import Inputs
from portico.engine.instances.assembly import assemble_instances
from portico.engine.intent import Intent
from portico.engine.loop import ReconcileLoop
from portico.engine.observed import BOOT_SETTING, ObservedWorld
from portico.engine.prepare import Candidate
from portico.engine.program_ports import ProgramPorts
from portico.engine.safe_mode import SafeMode
from portico.engine.tasks import Tasks
from portico.engine.troubles import Troubles
from portico.errors import ConfigError, NotFound, PorticoError, Problem
from portico.ports.clock import Clock
from portico.ports.neighbours import Neighbours
from portico.ports.store import Store
from tests.fakes.clock import VirtualLoop
from tests.fakes.state import MemoryState, events_of
from tests.unit.outside import GOOD, Discovery, Host, Nginx, Outside, Program, Running

S = InstanceState
CLUSTER = "6a1c"
MOST_STEPS_AT_ONCE = 200  # of one moment; more is a plan that never comes to rest


class Disk(MemoryState):
    def __init__(self, outside: Outside) -> None:
        super().__init__()
        self.outside = outside

    def commit(self) -> None:
        self.outside.reach("write")
        super().commit()


class Bugs(Troubles):
    """What nobody foresaw ends the test instead of being contained."""

    def report_bug(self, subject: str, what: str, error: Exception, *, of: str = "") -> None:
        raise error


class Watched(ObservedWorld):
    def __init__(self, machine: Machine, discovery: Discovery) -> None:
        clock, host = machine.loop, machine.host
        events = events_of(machine.disk, clock)
        super().__init__(machine.disk, clock, discovery, machine.nginx_port, host, events)
        self._machine = machine

    def put(self, instance: Instance, output: Sequence[str] = ()) -> None:
        before = self.instances[instance.id]
        if instance.state is S.UNREADY is not before.state and self._machine.answers(before.id):
            self._machine.on_crash(instance.app)  # it has come back unnoticed
        super().put(instance, output)


class Preparation:
    """Renders a file, which takes as long as it is told; it holds an app's keys and version."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def tested_again(self, inputs: Inputs) -> Candidate:
        if self._machine.rendering_takes:
            await asyncio.sleep(self._machine.rendering_takes)
        desired = self._desired(inputs)
        paused = " ".join(sorted(inputs.paused & desired.sites.keys()))
        fingerprint = f"{'+'.join(sorted(desired.sites))} {paused}".strip()
        return Candidate(desired, {}, fingerprint, Build("nginx", (1, 31, 0)), ())

    check = resume = render = tested_again

    def _desired(self, inputs: Inputs) -> Desired:
        [request] = inputs.requests.values()
        table, asked = request.table, inputs.asked
        for name, (app, _) in table.items():
            if not table.keys() >= set(app.after):
                raise ConfigError("portico.toml", [Problem(name, "comes after nobody")])
        desired = Desired(
            apps={name: wanted_app(name, *its, asked.get(name, 0)) for name, its in table.items()},
            machines=inputs.members.machines if inputs.members else self._machine.machines,
            sites={name: Site(app=name) for name, (app, _) in table.items() if app.listens},
        )
        if self._machine.machines:
            return desired_on(desired, self._machine.name, 2, inputs.drained_machines)
        return desired


def wanted_app(name: str, app: App, version: str, asked: int) -> DesiredApp:
    """Its port is part of the version."""
    version = f"{version}:{app.port}" + (f"+{asked}" if asked else "")
    assert app.instances != "max"
    return DesiredApp(name, app.instances, Spec(version, name, app, "/srv", {}, asked))


class Daemon:
    """What is lost with it. Put together as in daemon/wiring.py, and for `take_over`."""

    def __init__(self, machine: Machine, group: asyncio.TaskGroup) -> None:
        self._machine, clock, host = machine, machine.clock, machine.host
        state, self.nginx = machine.disk, machine.nginx_port
        machine.discovery = self.discovery = Discovery(machine)
        self.group, self.troubles, self.takes_over = group, Bugs(), True
        self._attentive, self._may_do, self._done_at = asyncio.Event(), 0.0, [0.0]
        self.tasks = Tasks(group, self.troubles, clock)
        self.intent, self.observed = Intent(state, self.nginx), Watched(machine, self.discovery)
        self.loop = ReconcileLoop(
            clock,
            lambda: (self.intent.desired, self.intent.fingerprint),
            self._observe,
            self._perform,
            self._failed,
            self._reserve,
            turn=self._turn,
            longest_rest=0.0,
        )
        versions = self.intent.versions
        engine = Engine(
            Changes(self.tasks, clock, versions=lambda: versions.targets),
            clock,
            events_of(state, clock),
            self.intent,
            self.loop,
            self.observed,
            SafeMode(0, self.troubles),
            state,
            self.tasks,
            self.troubles,
        )
        programs = ProgramPorts(host, host, self.nginx, host, host, host, host)
        self.instances = assemble_instances(engine, programs, host)
        self.neighbourhood: Neighbourhood | None = None
        if machine.others is not None:
            self.neighbourhood = Neighbourhood(engine, machine.name, machine.others)
        self._execute = Executor(
            engine,
            self.instances.supervision.spawn,
            programs,
            self.neighbourhood.announce if self.neighbourhood else None,
        )
        self.engine, self.preparation = engine, machine.preparation(machine)
        self.in_force = InForce(engine, self.preparation)
        self.shared: ClusterStore | None = None
        if machine.store is not None:
            self.shared = ClusterStore(engine, self.in_force, CLUSTER, machine.name, machine.store)
            if self.neighbourhood:
                self.shared.meet(self.neighbourhood)

    @property
    def endpoints(self) -> dict:
        return self.discovery.endpoints

    async def live(self) -> None:
        await take_over(self.engine, self.instances, self.in_force, self.nginx)
        self.takes_over = False
        self._machine.on_notice, self._machine.on_nginx_exit = (
            self.instances.readiness.on_notice,
            self.loop.wake,
        )
        self.group.create_task(self.loop.run())
        if others := self.neighbourhood:
            self.tasks.repeat("lists of other machines", others.look, others.pause)
            totals = Totals(self.engine, self.in_force, others)
            self.tasks.repeat("parts of drained machines", totals.look, totals.pause)
        if self.shared:
            await self.shared.begin()
            self.shared.start(self.tasks)
        self.tasks.repeat(
            "owners of ports", self.instances.ownership.look, self.instances.ownership.pause
        )

    def attend(self, steps: float) -> None:
        """Go on with so many steps at most; else it is busy with something else."""
        self._may_do = steps
        self._attentive.set() if steps else self._attentive.clear()

    async def _turn(self) -> None:
        await self._attentive.wait()
        if self._machine.gives_turns:
            await asyncio.sleep(0)

    async def _observe(self) -> World:
        await self._attentive.wait()
        await self.instances.supervision.apply_events()
        self.intent.writes.retry()
        cluster = self.neighbourhood.cluster() if self.neighbourhood else None
        return replace(await self.observed.look(), cluster=cluster)

    async def _perform(self, step: Step) -> None:
        self._done_at = [at for at in self._done_at if at == self._machine.now]
        self._done_at.append(self._machine.now)
        assert len(self._done_at) < self._machine.most_steps_at_once, (
            f"the plan never comes to rest: {self._machine.done[-6:]}"
        )
        self._machine.done.append(step)
        self.attend(self._may_do - 1)
        self._machine.assert_allowed(step)
        await self._execute(step)

    async def _reserve(self, steps: Sequence[StartInstance]) -> None:
        await self._execute.reserve(steps)

    def _failed(self, step: Step, error: Exception) -> None:
        if not isinstance(error, PorticoError):
            raise error
        self.troubles.report(str(step), str(error))


class Machine(Outside):
    preparation, new_daemon = Preparation, Daemon
    most_steps_at_once = MOST_STEPS_AT_ONCE
    gives_turns = False
    """Whether others have their turn between any two steps, as they have in a daemon."""

    def __init__(
        self,
        others: Neighbours | None = None,
        store: Callable[[Clock], Store] | None = None,
        *,
        name: str = "m1",
        loop: VirtualLoop | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`others` are those of m1, m2 and m3 that have another name; `store` is what they share;
        `loop` is theirs, too, where they run; `clock` moves with it.
        """
        super().__init__(loop)
        self.name, self.clock = name, clock or self.loop
        self.store = store(self.loop) if store else None
        self.others = others
        names = ("m1", "m2", "m3") if others else ()
        self.machines = {name: ClusterMachine(address=f"10.0.0.{name[1]}") for name in names}
        self.programs: dict[str, Program] = {}
        """By the id of a version."""
        self.disk, self.nginx_port = Disk(self), Nginx(self)
        self.host = Host(self, lambda version: self.programs[version.partition("+")[0]])
        self.done: list[Step] = []
        self.rendering_takes = 0.0
        self.refused: list[PorticoError] = []
        """What operators were told whose wish was not granted."""
        self.on_said: Callable[[], None] = lambda: None
        """Called when something else is wanted."""
        self._errors: list[BaseException] = []
        self.loop.set_exception_handler(lambda _, it: self._errors.append(it["exception"]))
        self._table: dict[str, tuple[App, str]] = {}
        """What the file in force has to be."""
        self._life: asyncio.Task[None] | None = None
        self.daemon: Daemon | None = None
        self.begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.lose_daemon()
        self.loop.close()

    # What the operator does

    def up(self, name: str, app: App, version: str, program: Program = GOOD) -> None:
        """Put a file with this app in force."""
        self.programs[f"{version}:{app.port}"] = program
        self._edit(lambda table: {**table, name: (app, version)})

    def up_again(self, name: str, **keys: object) -> None:
        """The same with another number of instances and the like: no new version."""

        def edit(table: dict) -> dict:
            if name not in table:
                raise NotFound(f"there is no app {name}")
            app, version = table[name]
            return {**table, name: (app.model_copy(update=keys), version)}

        self._edit(edit)

    def remove(self, name: str) -> None:
        self._edit(lambda table: {n: its for n, its in table.items() if n != name}, smaller=True)

    def reload(self, name: str, *, abrupt: bool = False) -> None:
        def renew(daemon: Daemon) -> None:
            daemon.intent.new_version([name], abrupt=abrupt)

        self._ask(renew)

    def set_stopped(self, name: str, *, stopped: bool) -> None:
        self._ask(
            lambda daemon: daemon.intent.set_stopped([name], stopped=stopped), smaller=stopped
        )

    def wear(self, process: Running) -> None:
        """It is to be replaced, as if it had become old."""
        if self.instances[process.instance].state is S.READY:
            wish = frozenset({process.instance})
            self._ask(lambda daemon: daemon.intent.request_replacement(wish), smaller=True)

    def pause(self, site: str, *, paused: bool) -> None:
        def meant() -> frozenset[str]:
            if site not in self.intent.desired.sites:
                raise NotFound(f"there is no site {site!r}")
            return frozenset({site})

        self._ask(lambda daemon: daemon.in_force.pause(meant, paused=paused))

    def down(self, *, at_once: bool) -> None:
        def clear(daemon: Daemon) -> None:
            daemon.in_force.clear(at_once=at_once)
            self._table = {}

        self._ask(clear, smaller=True)

    def _edit(self, edit: Callable[[dict], dict], *, smaller: bool = False) -> None:
        def revision() -> Revision:
            now = self.intent.revisions.get(PROJECT)
            table = edit(dict(now.document if now else {}))
            return Revision(0, self.now, "me", "portico.toml", "/srv", table, {})

        async def accept(daemon: Daemon) -> None:
            await daemon.in_force.accept(revision, lambda _: None, smaller=smaller)
            self._table = edit(self._table)
            assert self.intent.revisions[PROJECT].document == self._table, (
                "somebody's edit is lost"
            )

        self._ask(accept, smaller=smaller)

    def _ask(
        self, wish: Callable[[Daemon], Awaitable[object] | None], *, smaller: bool = False
    ) -> None:
        """It may still be under way when this returns, where rendering takes a while."""
        while self.daemon is None:
            self.begin()
        self.daemon.group.create_task(self._granted(wish, self.daemon, smaller=smaller))
        self._let(0.0)

    async def _granted(self, wish: Callable, daemon: Daemon, *, smaller: bool) -> None:
        try:
            waits = wish(daemon)
            if waits is not None:
                await waits
        except PorticoError as error:
            self.refused.append(error)
        else:
            assert smaller or not self.intent.writes.trouble, "more is in force than the disk has"
            daemon.loop.wake()
            self.on_said()

    # What can be seen

    @property
    def file(self) -> dict[str, App]:
        return {name: app.app for name, app in self.intent.desired.apps.items()}

    @property
    def records(self) -> dict[str, AppRecord]:
        return dict(self.intent.versions.records)

    @property
    def instances(self) -> dict[InstanceId, Instance]:
        return self.observed.instances

    def of(self, app: str) -> list[Instance]:
        return [i for i in self.instances.values() if i.app == app]

    def in_state(self, state: InstanceState, app: str = "web") -> list[Instance]:
        return [i for i in self.of(app) if i.state is state]

    # What the daemon does

    def begin(self) -> None:
        """A new daemon takes over what runs; it may be lost in that."""

        async def live() -> None:
            async with asyncio.TaskGroup() as group:
                self.daemon = self.new_daemon(self, group)
                self.intent, self.observed = self.daemon.intent, self.daemon.observed
                await self.daemon.live()

        self._life = self.loop.create_task(live())
        self._let(0.0)
        while self.daemon is not None and self.daemon.takes_over:
            self.tick(0.1)
        if self.daemon is not None:  # what it does not know was not written
            self._table = (
                dict(self.intent.revisions[PROJECT].document) if self.intent.revisions else {}
            )
            self.on_said()

    def boot(self) -> None:
        """The machine is started anew: nothing runs, and the disk is as it was."""
        self.lose_daemon()
        self.nginx_dies()
        self.processes.clear()
        self.disk.put_setting(BOOT_SETTING, "the one before")
        self.begin()

    def lose_daemon(self, at: str | None = None, after: int = 1) -> None:
        """Now; or at such a call, the so-manieth, of any kind if that is empty."""
        if at is not None:
            self.dies_at, self.dies_in = at, after
        elif self.daemon is not None:
            self.end_daemon()
            self._let(0.0)

    def end_daemon(self) -> None:
        super().end_daemon()
        self.daemon = None
        assert self._life is not None
        self._life.cancel()

    def tick(self, seconds: float) -> None:
        """Time passes, while the daemon is busy with something else."""
        self._let(seconds)

    def run(self, seconds: float) -> None:
        self._let(seconds, steps=float("inf"))

    def rest(self) -> None:
        """Until there is nothing left to do in this moment."""
        self.run(0.0)

    def step(self) -> bool:
        """Perform one step, of the plan under way or of a new one; False if there is none."""
        done = len(self.done)
        self._let(0.0, steps=1)
        return len(self.done) > done

    def _let(self, seconds: float, steps: float = 0) -> None:
        if self.daemon is not None:
            self.daemon.attend(steps)
        self.loop.run_until(self.now + seconds)
        if self.daemon is not None:
            self.daemon.attend(0)
        if self._life is not None and self._life.done() and not self._life.cancelled():
            self._life.result()
        if self._errors:
            raise self._errors[0]

    # What must not happen

    def assert_allowed(self, step: Step) -> None:
        match step:
            case StartInstance(app) if not self.of(app):
                self._assert_who_comes_before_is_ready(app)
            case Respawn(instance):
                app = self.instances[instance].app
                if all(ran_before_boot(i) for i in self.of(app)):
                    self._assert_who_comes_before_is_ready(app)
            case Restart(instance):
                self._assert_nothing_is_sent_to(instance)
            case Drain(instance) if not self.intent.desired.at_once:
                self._assert_who_comes_after_is_gone(self.instances[instance].app)
            case Stop(instance):
                self._assert_may_stop(self.instances[instance])
            case Kill(instance):
                assert self.instances[instance].state not in PROVEN_STATES | {S.DRAINING}
            case _:
                pass

    def assert_on_disk(self) -> None:
        """All that is in force, unless it is said that it is not."""
        is_unwritten = self.intent.writes.trouble
        if self.daemon is not None and not self.daemon.takes_over and not is_unwritten:
            assert {record.name: record for record in self.disk.apps()} == self.records
            assert self.intent.on_disk() == self.intent.revisions

    def _assert_may_stop(self, i: Instance) -> None:
        record = self.records.get(i.app)
        if self.intent.desired.at_once or (record and record.abrupt and i.app in self.file):
            return
        self._assert_nothing_is_sent_to(i.id)
        limit = drain_limit(i.slot, self.intent.app_of(i).drain_timeout)
        if i.id in self.processes and self.now - i.since < limit:
            assert self.processes[i.id].connections == 0, f"{i.id} still has connections"

    def _assert_nothing_is_sent_to(self, instance: InstanceId) -> None:
        handed_out = [e.instance for app in self.daemon.endpoints.values() for e in app]
        assert instance not in handed_out, f"{instance} is handed out"
        assert not self.sends_to(instance), f"nginx still sends requests to {instance}"

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
