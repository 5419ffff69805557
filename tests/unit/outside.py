"""What goes on without the daemon, in memory: programs, connections, nginx, and time.

It stands behind the ports of the engine (`Host`, `Nginx`, `Discovery`). A daemon may be lost at
any call of those that change something (`Outside.reach`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from portico.core.model.check import Check
from portico.core.model.generation import TestedGeneration
from portico.core.model.instance import Exit, Process
from portico.core.model.launch import Launch, Notice
from portico.core.model.names import InstanceId
from portico.core.model.port_owner import Owner, PortAnswer
from portico.core.model.world import Endpoint, FarEndpoint, NginxSeen
from portico.errors import Failed
from tests.fakes.clock import VirtualLoop

ASKS_EVERY = 1.0  # as nginx does for answers with TTL 0
ASKS_AGAIN = 3.0  # where nobody has answered
WORKERS = 2  # of nginx, who ask one after the other
CONNECTS_WITHIN = 0.5  # seconds, a request that was balanced before its worker was told
CRASH = Exit(1)
FIRST_FREE_PORT = 41000


@dataclass(frozen=True)
class Program:
    """How the processes of a version behave; times in seconds, None is never."""

    ready_after: float | None = 0.4
    says_ready_after: float | None = 0.6
    """Asked of apps with wait_ready only."""
    exits_after: float | None = None
    stops_after: float | None = 0.2
    """From the stop signal to its end."""
    ends: Exit = CRASH
    """How it ends by itself."""


GOOD = Program()
SLOW = Program(ready_after=3.0, stops_after=2.0)
STUBBORN = Program(stops_after=None)
CRASHING = Program(ready_after=None, exits_after=0.2)
HANGING = Program(ready_after=None)
SILENT = Program(says_ready_after=None)


@dataclass(eq=False)
class Running:
    """A process, as it really is."""

    instance: InstanceId
    app: str
    port: int
    program: Program
    process: Process
    on_exit: Callable[[Exit], None]
    """Of the daemon that watches it."""
    stops_at: float | None = None
    """Told to stop, it ends then."""
    hung: bool = False
    """It runs and answers nothing, not even a signal that it could ignore."""
    connections: int = 0

    def answers(self, now: float) -> bool:
        if self.program.ready_after is None or self.hung or self.stops_at is not None:
            return False
        return now - self.process.started >= self.program.ready_after


@dataclass(eq=False)
class Discovery:
    """Answers of one daemon; implements ports.Discovery."""

    outside: Outside
    endpoints: dict[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    asked: dict[str, dict[int, tuple[int, float]]] = field(default_factory=dict)
    """By app and worker: the newest version that it got, and since when."""
    far: dict[str, tuple[FarEndpoint, ...]] = field(default_factory=dict)

    def publish(self, app: str, endpoints: tuple[Endpoint, ...]) -> int:
        self.outside.reach("publish")
        self.endpoints[app], self.versions[app] = endpoints, self.versions.get(app, 0) + 1
        return self.versions[app]

    def publish_far(self, app: str, machines: tuple[FarEndpoint, ...]) -> None:
        self.outside.reach("publish far")
        self.far[app] = machines

    def withdraw(self, app: str) -> None:
        self.outside.reach("withdraw")
        for known in (self.endpoints, self.versions, self.asked, self.far):
            known.pop(app, None)

    def hold(self, sites: frozenset[str]) -> None:
        self.outside.reach("hold")

    def acknowledged_version(self, app: str) -> tuple[int, float]:
        versions, moments = zip(*self.asked.get(app, {0: (0, 0.0)}).values(), strict=True)
        return min(versions), max(moments)

    def answer(self, app: str, worker: int) -> tuple[Endpoint, ...]:
        asked = self.asked.setdefault(app, {})
        if asked.get(worker, (0, 0.0))[0] < self.versions[app]:
            asked[worker] = self.versions[app], self.outside.now
        return self.endpoints[app]


class Outside:
    def __init__(self, loop: VirtualLoop | None = None) -> None:
        """`loop` is one that several machines share."""
        self.loop = loop or VirtualLoop(1000.0)
        self.processes: dict[InstanceId, Running] = {}
        self._instances: dict[Process | int, InstanceId] = {}
        """By its process, and by its port: whose it was last."""
        self.serial = 0
        self.nginx = NginxSeen()
        self.refuses: set[str] = set()
        """Generations that nginx does not take over."""
        self.workers: list[dict[str, tuple[Endpoint, ...]]] = [{} for _ in range(WORKERS)]
        """What each of nginx's was told last, for every app that its generation names."""
        self.dropped: dict[InstanceId, float] = {}
        """When a worker was told last that an instance is none of its peers any more."""
        self.discovery: Discovery | None = None
        """Of the daemon that lives."""
        self.notices: list[Notice] = []
        self.dies_at, self.dies_in = "", 0
        """Where the daemon is to be lost: at such a call (any, if empty) after so many; 0: not."""
        self.on_crash: Callable[[str], None] = lambda app: None
        """Called just before a process that answers ends by itself."""
        self.on_hang: Callable[[str], None] = lambda app: None
        self.on_ask: Callable[[str], None] = lambda app: None
        self.on_notice: Callable[[Notice], None] = lambda notice: None
        self.on_nginx_exit: Callable[[], None] = lambda: None
        for worker in range(WORKERS):
            self.loop.call_later(worker * ASKS_EVERY / WORKERS, self._asks, worker)

    @property
    def now(self) -> float:
        return self.loop.time()

    def reach(self, call: str) -> None:
        """A call that changes something; the daemon may not live to make it."""
        if self.dies_in and self.dies_at in {"", call}:
            self.dies_in -= 1
            if not self.dies_in and self.discovery:
                self.end_daemon()
        if self.discovery is None:  # nor does any other task of a lost daemon
            raise asyncio.CancelledError

    def end_daemon(self) -> None:
        self.discovery, self.dies_in, self.notices = None, 0, []

    def _asks(self, worker: int) -> None:
        """Nginx, again and again."""
        for app in self.workers[worker]:
            self.ask(app, worker)
        self.loop.call_later(ASKS_EVERY if self.discovery else ASKS_AGAIN, self._asks, worker)

    def ask(self, app: str, worker: int = 0) -> None:
        """A question of a worker where an app is; without a daemon it keeps what it has.

        It asks only about those that its files name.
        """
        peers = self.workers[worker]
        if self.discovery and app in peers and app in self.discovery.endpoints:
            before, peers[app] = peers[app], self.discovery.answer(app, worker)
            gone = {each.instance for each in before} - {each.instance for each in peers[app]}
            self.dropped |= dict.fromkeys(gone, self.now)
            self.on_ask(app)

    @property
    def peers(self) -> dict[str, tuple[Endpoint, ...]]:
        """That all workers know."""
        first, *others = self.workers
        return {
            app: tuple(peer for peer in peers if all(peer in each[app] for each in others))
            for app, peers in first.items()
        }

    def sends_to(self, instance: InstanceId) -> bool:
        """Whether a request may still reach it through nginx."""
        if self.nginx.pid is None:
            return False
        known = {
            peer.instance for each in self.workers for peers in each.values() for peer in peers
        }
        return instance in known or self.now - self.dropped.get(instance, 0.0) < CONNECTS_WITHIN

    def answering(self, app: str) -> list[Endpoint]:
        """The peers nginx has of an app that would answer a request now; of the worker that has
        the fewest.
        """
        workers = (
            [p for p in each.get(app, ()) if self.answers(p.instance)] for each in self.workers
        )
        return min(workers, key=len)

    def answers(self, instance: InstanceId) -> bool:
        return instance in self.processes and self.processes[instance].answers(self.now)

    def crash(self, process: Running, ending: Exit = CRASH) -> None:
        """It ends by itself, or by somebody else's hand."""
        if process.answers(self.now):
            self.on_crash(process.app)
        self._end(process, ending)

    def hang(self, process: Running) -> None:
        if process.answers(self.now):
            self.on_hang(process.app)
        process.hung = True

    def recover(self, process: Running) -> None:
        process.hung = False
        if process.stops_at is not None:
            self.later(max(0.0, process.stops_at - self.now), self._stop, process)

    def nginx_dies(self) -> None:
        self.nginx_ends(replace(self.nginx, pid=None))
        self.on_nginx_exit()

    def nginx_ends(self, seen: NginxSeen) -> None:
        self.nginx, self.workers, self.dropped = seen, [{} for _ in self.workers], {}
        for process in self.processes.values():
            process.connections = 0

    def launch(self, launch: Launch, program: Program, on_exit: Callable[[Exit], None]) -> Process:
        same = self.at(launch.port) if launch.port else None
        assert not same, f"{launch.instance} gets port {launch.port}, which {same} has"
        assert launch.instance not in self.processes, f"{launch.instance} runs twice"
        self.serial += 1
        process, name = Process(self.serial, self.now), launch.spec.app_name
        its = Running(launch.instance, name, launch.port, program, process, on_exit)
        self.processes[launch.instance] = its
        self._instances |= {process: launch.instance, launch.port: launch.instance}
        self.later(program.exits_after, self.crash, its, program.ends)
        self.later(program.says_ready_after, self._speak, its)
        return process

    def runs(self, process: Process) -> Running | None:
        its = self.processes.get(self._instances.get(process, InstanceId("")))
        return its if its and its.process == process else None

    def at(self, port: int) -> Running | None:
        its = self.processes.get(self._instances.get(port, InstanceId("")))
        return its if its and its.port == port else None

    def tell(self, process: Running, signal: str) -> None:
        if signal == "SIGKILL":
            self.later(0.0, self._end, process, Exit(signal=9))
        elif process.stops_at is None:
            after = process.program.stops_after
            process.stops_at = float("inf") if after is None else self.now + after
            self.later(after, self._stop, process)

    def later(self, seconds: float | None, act: Callable[..., None], process: Running, *more):
        def if_it_runs() -> None:
            if self.processes.get(process.instance) is process:
                act(process, *more)

        if seconds is not None:
            self.loop.call_later(seconds, if_it_runs)

    def _stop(self, process: Running) -> None:
        if not process.hung and process.stops_at is not None and process.stops_at <= self.now:
            self._end(process, Exit(0))

    def _speak(self, process: Running) -> None:
        if self.discovery and not process.hung:  # else nobody hears it, ever
            self.notices.append(Notice(frozenset({process.process.pid}), ready=True))
            self.on_notice(self.notices[-1])

    def _end(self, process: Running, ending: Exit) -> None:
        del self.processes[process.instance]
        if self.discovery:
            process.on_exit(ending)


class Host:
    """Implements Processes, Ports, Probes, Notices and Logs."""

    def __init__(self, outside: Outside, program: Callable[[str], Program]) -> None:
        """`program` is that of a version, by its id."""
        self._outside, self._processes, self._program = outside, outside.processes, program

    async def spawn(self, launch: Launch, on_exit: Callable[[Exit], None]) -> Process:
        self._outside.reach("spawn")
        process = self._outside.launch(launch, self._program(launch.spec.id), on_exit)
        self._outside.reach("spawned")
        return process

    async def adopt(
        self, launch: Launch, process: Process, on_exit: Callable[[Exit], None]
    ) -> bool:
        its = self._outside.runs(process)
        if its is not None:
            its.on_exit = lambda _: on_exit(Exit())  # nobody can see how it ends
        return its is not None

    async def find(self, since: Sequence[tuple[Launch, float]]) -> Mapping[InstanceId, Process]:
        found = [(self._processes.get(launch.instance), at) for launch, at in since]
        return {i.instance: i.process for i, at in found if i and i.process.started >= at}

    async def end_orphans(self, lost: Sequence[tuple[Launch, Process | None]]) -> None:
        self._outside.reach("end of orphans")
        for launch, stays in lost:
            its = self._processes.get(launch.instance)
            if its is not None and its.process != stays:
                self._outside.crash(its, Exit(signal=9))

    async def port_answers(self, asked: Sequence[tuple[Process, int]]) -> list[PortAnswer]:
        runs = [self._outside.runs(process) for process, _ in asked]
        return [PortAnswer(Owner.ITSELF if its else Owner.NOBODY) for its in runs]

    def signal(self, process: Process, name: str) -> None:
        self._outside.reach("signal")
        if its := self._outside.runs(process):
            self._outside.tell(its, name)

    async def free(self, avoid: frozenset[int]) -> int:
        taken = avoid.union(its.port for its in self._processes.values())
        return max(FIRST_FREE_PORT, *taken) + 1 if taken else FIRST_FREE_PORT

    async def holder(self, port: int) -> str | None:
        its = self._outside.at(port)
        return f"pid {its.process.pid}" if its else None

    async def connection_counts(self, ports: frozenset[int]) -> Mapping[int, int]:
        return {its.port: its.connections for its in self._processes.values()}

    async def listening_ports(self, process: Process) -> frozenset:
        return frozenset()

    async def probe(self, check: Check, port: int) -> str | None:
        its = self._outside.at(port)
        return None if its and its.answers(self._outside.now) else "no answer"

    def take_notices(self) -> list[Notice]:
        received, self._outside.notices = self._outside.notices, []
        return received

    def begin(self, spec: object, slot: int) -> None:
        """No output is kept."""

    async def last_lines(self, spec: object, slot: int, count: int) -> list[str]:
        return []


class Nginx:
    """Implements ports.Nginx as far as steps need it. A fingerprint names its apps: `api+web`."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def observe(self) -> NginxSeen:
        return self._outside.nginx

    async def install(
        self, files: object, fingerprint: str, build: object = None
    ) -> TestedGeneration:
        return TestedGeneration(0, fingerprint)

    async def switch(self, generation: TestedGeneration) -> None:
        self._outside.reach("switch")
        wanted, before = generation.fingerprint, self._outside.nginx
        if wanted in self._outside.refuses:
            raise Failed("nginx says no")
        self._outside.nginx = NginxSeen(1, before.generation + 1, wanted, program="nginx")
        self._outside.workers = [
            {app: peers.get(app, ()) for app in names(wanted)} for peers in self._outside.workers
        ]
        self._outside.reach("switched")

    async def start(self) -> None:
        self._outside.reach("start of nginx")
        self._outside.nginx = replace(self._outside.nginx, pid=1)
        live = names(self._outside.nginx.live)
        self._outside.workers = [dict.fromkeys(live, ()) for _ in range(WORKERS)]

    async def stop(self, *, graceful: bool, should_abort: Callable[[], bool]) -> None:
        self._outside.reach("stop of nginx")
        self._outside.nginx_ends(NginxSeen())


def names(fingerprint: str) -> list[str]:
    return fingerprint.partition(" ")[0].split("+")
