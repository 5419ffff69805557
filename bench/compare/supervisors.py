"""The two that start programs, restart and replace them: Portico and PM2, without a load."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, Protocol

import psutil

from bench.compare.installed import Programs
from bench.compare.peers.peer import WORK
from bench.compare.peers.pm2 import Pm2
from bench.compare.peers.portico import app
from tests.addresses import free_port
from tests.stack import BIN, PROGRAMS, Stack
from tests.waiting import eventually

LIGHT = PROGRAMS / "listen.pl"
"""A program of 2 MB, for as many that Node's memory would be what is measured."""
NODE_UP_TO = 20
"""As many run Node, and have an HTTP check every 5 s where the supervisor has checks."""
UP_WITHIN = 600.0


class Supervisor(Protocol):
    name: ClassVar[str]

    def up(self, count: int, *, light: bool | None = None) -> None:
        """From nothing until all instances listen, and the site answers where there is one."""

    def daemon(self) -> int: ...

    def status(self) -> None:
        """The command that an operator types."""

    def pids(self) -> list[int]:
        """Those of the instances that are ready."""

    def replace(self) -> None:
        """A rollout of all; how long its command takes to start is not the question."""


class PorticoAlone:
    """Node behind nginx with HTTPS, as always; the light program answers no request."""

    name = "portico"

    def __init__(self, programs: Programs, _: Path) -> None:
        self.stack = Stack()
        self._edge = {"nginx": str(programs.wheel)}

    def up(self, count: int, *, light: bool | None = None) -> None:
        light = count > NODE_UP_TO if light is None else light
        self.stack.write(self._text(count, light=light), **self._edge)
        self._run("up")
        if not light:
            eventually(lambda: self.stack.answers("app.localhost"), within=UP_WITHIN, every=0.005)

    def _text(self, count: int, *, light: bool) -> str:
        if not light:
            return app("web", count, health="/") + '[sites."app.localhost"]\napp = "web"\n'
        return app("web", count, **LASTING, command=["perl", str(LIGHT)], batch=50)

    def _run(self, *words: str) -> None:
        """A process of its own, as an operator's."""
        done = subprocess.run(
            [BIN / "portico", *words],
            check=False,
            cwd=self.stack.folder,
            env=self.stack.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=UP_WITHIN,
        )
        if done.returncode:
            raise RuntimeError(f"portico {' '.join(words)}: {(done.stdout + done.stderr)[-300:]}")

    def daemon(self) -> int:
        return int(self.stack.status()["daemon"]["pid"])

    def status(self) -> None:
        self._run("status")

    def pids(self) -> list[int]:
        return [i["pid"] for i in self.stack.instances("web") if i["state"] == "ready"]

    def replace(self) -> None:
        self.stack.done("reload", "web")

    def stop(self) -> None:
        self.stack.close()


LASTING = {"backoff": "0.01s", "min_uptime": "0s", "max_restarts": 1_000_000}
"""An instance that is killed again and again is started again each time."""


class Pm2Alone:
    """Without a proxy: the programs listen on ports of their own."""

    name = "PM2"

    def __init__(self, programs: Programs, folder: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self._pm2 = Pm2(programs, self.folder)
        self._ports: list[int] = []

    def up(self, count: int, *, light: bool | None = None) -> None:
        self._ports = ports(count)
        light = count > NODE_UP_TO if light is None else light
        self._pm2.start([self._app(n, port, light=light) for n, port in enumerate(self._ports)])
        eventually(lambda: all(map(listens, self._ports)), within=UP_WITHIN, every=0.005)

    def _app(self, number: int, port: int, *, light: bool) -> dict[str, object]:
        perl = {"script": str(LIGHT), "interpreter": "perl"}
        program = perl if light else {"script": str(WORK)}
        lasting = {"min_uptime": 0, "max_restarts": 1_000_000}
        return {"name": f"web{number}", "env": {"PORT": str(port)}, **program, **lasting}

    def daemon(self) -> int:
        return self._pm2.daemon

    def status(self) -> None:
        self._pm2.run("ls")

    def pids(self) -> list[int]:
        """Those that listen, by the kernel's table."""
        mine = {child.pid for child in psutil.Process(self.daemon()).children()}
        found = {
            c.laddr.port: c.pid for c in psutil.net_connections("tcp") if c.status == "LISTEN"
        }
        return [pid for port in self._ports if (pid := found.get(port)) in mine and pid]

    def replace(self) -> None:
        self._pm2.run("reload", "all")

    def stop(self) -> None:
        self._pm2.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


SUPERVISORS: Sequence[type[PorticoAlone | Pm2Alone]] = (PorticoAlone, Pm2Alone)


@contextmanager
def running(
    kind: type[PorticoAlone | Pm2Alone], programs: Programs, folder: Path
) -> Iterator[Supervisor]:
    supervisor = kind(programs, folder)
    try:
        yield supervisor
    finally:
        supervisor.stop()


def are_replaced(supervisor: Supervisor, count: int, old: set[int]) -> bool:
    pids = set(supervisor.pids())
    return len(pids) == count and not pids & old


def own_start(programs: Programs) -> float:
    """Seconds from a start of the Node program, with nobody in between, until it listens."""
    port = free_port()
    begun = time.monotonic()
    environ = {**programs.environ, "PORT": str(port)}
    with subprocess.Popen([programs.node, WORK], env=environ) as process:
        try:
            eventually(lambda: listens(port), every=0.002)
            return time.monotonic() - begun
        finally:
            process.kill()


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def ports(count: int) -> list[int]:
    """As many that are free in a row, which `free_port` cannot promise for hundreds."""
    for first in range(20000, 30000, count):
        if not any(listens(port) for port in range(first, first + count)):
            return list(range(first, first + count))
    raise OSError("no free ports")
