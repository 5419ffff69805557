"""A home with an nginx under NginxProgram, and load on it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from portico.adapters.nginx.processes import processes_in
from portico.adapters.nginx.program import NginxProgram
from portico.adapters.processes.sockets import LinuxPorts
from portico.core.model.generation import TestedGeneration
from portico.system.clock import SystemClock
from portico.system.home import Home
from tests.addresses import free_port
from tests.little_nginx import Client, eventually, get, is_running

PORTS = LinuxPorts(SystemClock())

MAIN = """
worker_processes 2;
worker_shutdown_timeout 10s;
pid {home}/nginx/nginx.pid;
error_log {home}/logs/nginx/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log {home}/logs/sites/test.access.log;
    keepalive_min_timeout 10s; # the clients share a loop with the test, which may hold them up
    include site.conf;
}}
"""
SITE = """
server {{
    listen 127.0.0.1:{port} {listen};
    location / {{ return 200 "{text}"; }}
    {more}
}}
"""


class Lab:
    """One home, the nginx in it, and files for it that say `text` to every request."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        self.home.make()
        self.port = free_port()
        self.nginx = NginxProgram(self.home, PORTS, reload_timeout=30)

    def files(
        self, text: str, more: str = "", *, port: int = 0, reuseport: bool = True
    ) -> dict[str, str]:
        listen = "reuseport" if reuseport else ""
        site = SITE.format(port=port or self.port, listen=listen, text=text, more=more)
        return {"nginx.conf": MAIN.format(home=self.home.path), "site.conf": site}

    async def serve(self, text: str, more: str = "", **how) -> TestedGeneration:
        tested = await self.nginx.install(self.files(text, more, **how), text)
        await self.nginx.switch(tested)
        return tested

    async def says(self) -> str:
        """What it answers, or empty if it does not."""
        with suppress(OSError, EOFError):
            return (await get(self.port))[1]
        return ""

    async def kill_master(self) -> int:
        pid = self.nginx.observe().pid
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not is_running(pid))
        return pid

    @property
    def masters(self) -> list[int]:
        """A worker that was forked in this moment is among them until it has its own title."""
        return [process.pid for process in self.processes if process.is_master]

    @property
    def processes(self):
        return processes_in(self.home.nginx)

    @property
    def generations(self) -> list[str]:
        return sorted(path.name for path in (self.home.nginx / "generations").iterdir())


def in_lab(story: Callable[[Lab], Awaitable[None]]) -> None:
    """Run it in a fresh folder of /tmp that nginx's workers, another user, can pass through."""
    folder = Path(tempfile.mkdtemp(prefix="portico-", dir="/tmp"))
    folder.chmod(0o755)

    async def run() -> None:
        lab = Lab(folder)
        try:
            await story(lab)
        finally:
            await NginxProgram(lab.home, PORTS).stop(graceful=False)
            assert lab.processes == []

    try:
        asyncio.run(run())
    finally:
        shutil.rmtree(folder)


class Load:
    """Clients that ask without pause on keep-alive connections, and count what was lost."""

    def __init__(self, port: int, clients: int = 12) -> None:
        self.port, self.clients = port, clients
        self.answers: list[str] = []
        self.lost: list[str] = []

    async def __aenter__(self):
        self._going = True
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(self.clients)]
        await eventually(lambda: len(self.answers) > self.clients)
        return self

    async def __aexit__(self, *error):
        self._going = False
        await asyncio.gather(*self._tasks)

    async def _ask(self):
        client = Client(self.port)
        while self._going:
            try:
                status, text = await client.get()
                (self.answers if status == 200 else self.lost).append(text)
            except (OSError, EOFError) as error:
                self.lost.append(repr(error))
                client.close()
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.02)
        client.close()
