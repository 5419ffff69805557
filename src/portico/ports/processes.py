"""Instances as processes: what runs, what it says, who listens where, and whether it is well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from portico.core.model.check import Check
from portico.core.model.desired import Spec
from portico.core.model.instance import Exit, ListeningPort, Process
from portico.core.model.launch import Launch, Notice
from portico.core.model.names import InstanceId
from portico.core.model.port_owner import PortAnswer


class Processes(Protocol):
    """Starts, watches and signals instances; they outlive this process."""

    async def spawn(self, launch: Launch, on_exit: Callable[[Exit], None]) -> Process:
        """Start the program in its own session, its output appended to its log files.

        Reads env_file and finds the program afresh every time. `on_exit` is called
        once, in the event loop, when nothing of all that it has started is left. Raises Failed
        with every reason why it cannot start (no such program, folder or user, a bad env_file).
        """

    async def adopt(
        self, launch: Launch, process: Process, on_exit: Callable[[Exit], None]
    ) -> bool:
        """Watch a process that an earlier daemon has started so; False when it is not there any
        more.
        """

    async def find(self, since: Sequence[tuple[Launch, float]]) -> Mapping[InstanceId, Process]:
        """Processes that were started so after these moments (of `Clock.monotonic`), by a daemon
        of the same home that did not live to note them. None of another user's.
        """

    async def end_orphans(self, lost: Sequence[tuple[Launch, Process | None]]) -> None:
        """End what earlier processes of these instances have left behind while no daemon lived;
        the process that was found for one stays.
        """

    async def port_answers(self, asked: Sequence[tuple[Process, int]]) -> list[PortAnswer]:
        """Of each process and port, who takes connections to 127.0.0.1 and that port."""

    def signal(self, process: Process, name: str) -> None:
        """Send `SIGTERM` and the like to the instance's process group, if it still is that one.

        Where the first process has ended and others that it has started have not, those that are
        in sessions of their own are sent it then, `on_exit` waits for all of them for a minute
        after the last signal, and SIGKILL ends them at once.
        """

    async def problems(self, launch: Launch) -> list[str]:
        """Why this could not be started, without starting it; empty if it could."""

    async def links_of(self, spec: Spec) -> Mapping[str, str]:
        """`Spec.links` of a version that is made now. Raises Failed if its working folder does not
        exist, or is closed to its user.
        """

    async def run_check(self, launch: Launch, check: Check) -> str | None:
        """Run the check's command with what the instance is run with: environment, folder, user.

        None when it exits with 0, else what was wrong in a few words. At its timeout it is
        killed with all that it has started.
        """

    async def measure(self) -> None:
        """Look at what all instances use, unless that was done just now."""

    def usage(self, process: Process) -> tuple[int, float, float]:
        """Resident bytes with all children, percent of a core since it was measured before, and
        seconds of processor time; as they were when all were measured last.
        """

    async def resident(self, processes: Sequence[Process]) -> list[int]:
        """Resident bytes of each with all its children; 0 for one that has ended.

        What several of its processes share is counted in each.
        """


class Notices(Protocol):
    """Hears what programs say by sd_notify(3), and Node programs by process.send."""

    def take_notices(self) -> Sequence[Notice]:
        """What each has said since this was last asked; that of then is done with."""


class TcpPorts(Protocol):
    """Ports of this machine."""

    async def free(self, avoid: frozenset[int]) -> int:
        """A loopback port that nothing listens on and nobody can guess, outside the system's
        ephemeral range as long as one is free there.
        """

    async def holder(self, port: int) -> str | None:
        """`pid 812 (node)`, with its user if that is another than ours, if something listens on
        the port, else None.
        """

    async def holder_at(
        self, addresses: Sequence[str], port: int, *, udp: bool = False
    ) -> str | None:
        """The same of who listens at one of these addresses, which nginx is to listen at."""

    async def connection_counts(self, ports: frozenset[int]) -> Mapping[int, int]:
        """How many established connections each of these local ports has, with the sockets of
        UDP on this machine that send to it alone: so nginx holds a session.
        """

    async def listening_ports(self, process: Process) -> frozenset[ListeningPort]:
        """Where a process, its session's or its children's processes listen on TCP."""


class Probes(Protocol):
    async def probe(self, check: Check, port: int) -> str | None:
        """Ask an instance once, at its port; None when it is well, else what was wrong in a few
        words. Not for a check that is a command.
        """
