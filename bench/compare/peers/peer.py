"""What the rows need of a peer, and what all peers of a run share."""

from __future__ import annotations

import http.client
import ssl
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench.compare import processes
from bench.compare.certificates import NAME, Certificates
from bench.compare.installed import Programs
from tests.addresses import free_port
from tests.waiting import eventually

INSTANCES = 4
WORK = Path(__file__).parents[1] / "programs/work.js"
STARTED_WITHIN = 60.0
ALL = frozenset({"h2", "static", "constant", "rsa", "websocket"})
"""What a peer can be asked for beside HTTP/1.1 to the four programs."""


class Backends:
    """Four Node processes that no supervisor runs, and a backend whose answer takes no time."""

    def __init__(self, programs: Programs, folder: Path, **environ: str) -> None:
        self._programs, self._folder, self._environ = programs, folder, environ
        self.ports, self._running = [], []
        self.start()

    def start(self) -> None:
        """Four more; `ports` are theirs now."""
        self.ports = [free_port() for _ in range(INSTANCES)]
        self._running += [self._node(number, port) for number, port in enumerate(self.ports)]
        for port in self.ports:
            eventually(lambda port=port: answers(port, tls=False), within=STARTED_WITHIN)

    def end_oldest(self) -> None:
        """SIGTERM to the first four, which end when their requests have."""
        for process in self._running[:INSTANCES]:
            process.terminate()
        for process in self._running[:INSTANCES]:
            processes.end(process)
        del self._running[:INSTANCES]

    def stop(self) -> None:
        while self._running:
            self.end_oldest()

    def _node(self, number: int, port: int) -> subprocess.Popen[bytes]:
        environ = {"PORT": str(port), "NODE_APP_INSTANCE": str(number), **self._environ}
        return spawn([self._programs.node, WORK], self._folder, self._programs.environ | environ)


@dataclass(frozen=True, slots=True)
class Place:
    """What the peers of a run share."""

    programs: Programs
    folder: Path
    certificates: Certificates
    backends: Backends
    constant: Sequence[int]
    """Ports of a backend whose answer takes no time."""
    files: Path
    """A folder of static files: `16k.bin`."""


class Peer:
    """A running peer serves https://localhost:PORT; `/constant` and `/static/` where it can."""

    name: ClassVar[str]
    title: ClassVar[str]
    can: ClassVar[frozenset[str]] = ALL
    tls: ClassVar[bool] = True
    supervises: ClassVar[bool] = False
    """Whether it runs the programs itself."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.folder = place.folder / self.name
        self.folder.mkdir()
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until it answers."""
        self._process = spawn(self.command(), self.folder, self.environ())
        self.wait()

    def wait(self) -> None:
        eventually(lambda: answers(self.port, tls=self.tls), within=STARTED_WITHIN)

    def command(self) -> list[str | Path]:
        """What is started, after its files have been written."""
        raise NotImplementedError

    def environ(self) -> dict[str, str]:
        return dict(self.place.programs.environ)

    def switch(self) -> None:
        """Send requests to the backends that `place.backends` has now, by its own means."""
        raise NotImplementedError

    def proxy(self) -> list[int]:
        """Processes that a request passes, with their descendants; not the programs."""
        return [self._process.pid] if self._process else []

    def control(self) -> list[int]:
        """Those that supervise."""
        return []

    def stop(self) -> None:
        if self._process:
            processes.end(self._process)
            self._process = None


def spawn(
    command: Sequence[str | Path], folder: Path, environ: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Its output goes to a file of the folder. It has a session of its own, as a service has: the
    kernel shares the processors among sessions (sched(7), autogroup).
    """
    with (folder / "output.log").open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def answers(port: int, *, tls: bool, path: str = "/") -> bool:
    """Whether a GET is answered with 200."""
    with suppress(OSError, http.client.HTTPException):
        if tls:
            context = ssl._create_unverified_context()  # noqa: SLF001 - it is signed by itself
            connection = http.client.HTTPSConnection(NAME, port, timeout=5, context=context)
        else:
            connection = http.client.HTTPConnection(NAME, port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        finally:
            connection.close()
    return False
