"""The programs under PM2: in fork mode behind nginx of a tutorial, and in cluster mode."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from bench.compare.installed import Programs
from bench.compare.peers.nginx import PM2_PAGE, TUTORIAL, Nginx
from bench.compare.peers.peer import INSTANCES, WORK, Place, answers
from tests.addresses import free_port
from tests.waiting import eventually

DEADLINE = 300.0


class Pm2:
    """A PM2 daemon of its own, which ends with `stop`."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        self.home, self.folder = folder / "pm2", folder
        self._program = programs.pm2
        self._environ = {**programs.environ, "PM2_HOME": str(self.home)}

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [self._program, *words],
            check=False,
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        if done.returncode:
            raise RuntimeError(f"pm2 {' '.join(words)}: {(done.stdout + done.stderr)[-300:]}")
        return done.stdout

    def start(self, apps: Sequence[dict[str, object]]) -> None:
        file = self.folder / "ecosystem.config.json"
        file.write_text(json.dumps({"apps": list(apps)}))
        self.run("start", str(file))

    @property
    def daemon(self) -> int:
        return int((self.home / "pm2.pid").read_text())

    def stop(self) -> None:
        if self.home.exists():
            self.run("kill")


class BehindPm2(Nginx):
    """Programs of its own, which PM2 replaces."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.binary = place.programs.debian_nginx
        self.pm2 = Pm2(place.programs, self.folder)
        self._ports = [free_port() for _ in range(self.listeners)]

    listeners: ClassVar[int] = INSTANCES
    supervises = True
    can = frozenset({"h2", "static", "constant", "rsa-only"})

    def ports(self) -> Sequence[int]:
        return self._ports

    def start(self) -> None:
        self.pm2.start(self.apps())
        for port in self._ports:
            eventually(lambda port=port: answers(port, tls=False))
        super().start()

    def apps(self) -> list[dict[str, object]]:
        raise NotImplementedError

    def switch(self) -> None:
        """Not by another address: PM2 replaces the programs themselves."""
        self.pm2.run("reload", "all")

    def control(self) -> list[int]:
        return [self.pm2.daemon]

    def stop(self) -> None:
        super().stop()
        self.pm2.stop()


class HandMade(BehindPm2):
    name = "hand-made"
    title = "hand-made: nginx, ip_hash, PM2 fork mode"
    template = TUTORIAL
    method = "ip_hash;"

    def apps(self) -> list[dict[str, object]]:
        return [
            {"name": f"server-{n}", "script": str(WORK), "env": {"PORT": str(port)}}
            for n, port in enumerate(self._ports)
        ]


class HandMadeRoundRobin(HandMade):
    name = "hand-made-rr"
    title = "hand-made: nginx, round robin, PM2 fork mode"
    method = ""


class Cluster(BehindPm2):
    name = "pm2-cluster"
    title = "PM2 cluster mode behind nginx"
    template = PM2_PAGE
    listeners = 1
    can = BehindPm2.can | {"websocket"}

    def apps(self) -> list[dict[str, object]]:
        environ = {"PORT": str(self._ports[0])}
        mode = {"exec_mode": "cluster", "instances": INSTANCES}
        return [{"name": "server", "script": str(WORK), "env": environ, **mode}]
