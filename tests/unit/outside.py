"""What goes on without the daemon, in memory: programs, connections, nginx, and time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from portico.core.model.instance import Exit, Process
from portico.core.model.names import InstanceId
from portico.core.model.world import Endpoint, NginxSeen
from portico.core.planning.steps import Step

ASKS_EVERY = 1.0  # as nginx does for answers with TTL 0
CRASH = Exit(1)


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
    born: float
    told_to_stop: float | None = None
    killed: bool = False
    spoke: bool = False
    hung: bool = False
    """It runs and answers nothing, not even a signal that it could ignore."""
    connections: int = 0

    def answers(self, now: float) -> bool:
        if self.program.ready_after is None or self.hung or self.told_to_stop is not None:
            return False
        return now - self.born >= self.program.ready_after


@dataclass(eq=False)
class Daemon:
    """What is lost with the daemon."""

    begun: float
    endpoints: dict[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    version: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    told: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By app: the newest version that nginx got, and since when."""
    left: dict[InstanceId, tuple[int, float]] = field(default_factory=dict)
    """Since which version, and when, an instance is in no answer."""
    ended: list[tuple[InstanceId, Exit]] = field(default_factory=list)
    probed_at: dict[InstanceId, float] = field(default_factory=dict)
    said_ready: list[InstanceId] = field(default_factory=list)
    heard: list[tuple[InstanceId, Process | None, str | None]] = field(default_factory=list)
    """Which instance, which process of it, and what the probe found wrong."""
    steps: list[Step] = field(default_factory=list)
    """The rest of the plan under way."""


class Outside:
    def __init__(self) -> None:
        self.now = 1000.0
        self.processes: dict[InstanceId, Running] = {}
        self.nginx = NginxSeen()
        self.peers: dict[str, tuple[Endpoint, ...]] = {}
        """What nginx was told last, for every app that its generation names."""
        self.asked_at: dict[str, float] = {}
        self.daemon: Daemon | None = None
        self.on_crash: Callable[[str], None] = lambda app: None
        """Called just before a process that answers ends by itself."""
        self.on_hang: Callable[[str], None] = lambda app: None
        self.on_ask: Callable[[str], None] = lambda app: None

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

    def ask(self, app: str) -> None:
        """A question of nginx where an app is; without a daemon it keeps what it has.

        It asks only about those that its files name.
        """
        if self.daemon is None or app not in self.peers or app not in self.daemon.endpoints:
            return
        self.asked_at[app] = self.now
        self.peers[app] = self.daemon.endpoints[app]
        version = self.daemon.versions[app]
        if self.daemon.told.get(app, (0, 0.0))[0] < version:
            self.daemon.told[app] = version, self.now
        self.on_ask(app)

    def answering(self, app: str) -> list[Endpoint]:
        """The peers nginx has of an app that would answer a request now."""
        return [
            peer
            for peer in self.peers.get(app, ())
            if peer.instance in self.processes and self.processes[peer.instance].answers(self.now)
        ]

    def launch(self, instance: InstanceId, app: str, port: int, program: Program) -> None:
        self.processes[instance] = Running(instance, app, port, program, self.now)

    def crash(self, process: Running, ending: Exit = CRASH) -> None:
        """It ends by itself, or by somebody else's hand."""
        if process.answers(self.now):
            self.on_crash(process.app)
        self._end(process, ending)

    def hang(self, process: Running) -> None:
        if process.answers(self.now):
            self.on_hang(process.app)
        process.hung = True

    def nginx_dies(self) -> None:
        self.nginx = replace(self.nginx, pid=None)
        self.peers = {}

    def lose_daemon(self) -> None:
        self.daemon = None

    def _live(self, process: Running) -> None:
        program, age = process.program, self.now - process.born
        if not (process.hung or process.spoke) and age >= (program.says_ready_after or age + 1):
            process.spoke = True
            if self.daemon is not None:  # else nobody hears it, ever
                self.daemon.said_ready.append(process.instance)
        if process.killed:
            self._end(process, Exit(signal=9))
        elif program.exits_after is not None and age >= program.exits_after:
            self.crash(process, program.ends)
        elif process.hung or process.told_to_stop is None or program.stops_after is None:
            pass
        elif self.now - process.told_to_stop >= program.stops_after:
            self._end(process, Exit(0))

    def _end(self, process: Running, ending: Exit) -> None:
        del self.processes[process.instance]
        if self.daemon is not None:
            self.daemon.ended.append((process.instance, ending))
