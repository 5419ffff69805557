"""A Portico of a row's own, the load on it, and who is to blame for what was lost."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass

import psutil

from bench.chaos_rows.outcome import Effort, Outcome
from portico.client.client import Client
from portico.core.model import verbs
from portico.errors import PorticoError
from tests.load import Loss, Report
from tests.running_load import RunningLoad
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually, kill

NAME = "app.localhost"
"""The site under load; its app is `web`."""
NODE = f"node {PROGRAMS / 'echo.js'}"
PYTHON = f"python3 {PROGRAMS / 'echo.py'}"
INSTANCES = 4
SOON = 0.2
"""Seconds between a kill and the moment it was noted, and between its effect and that."""
SLOW_TO_SEE = 1.0
"""Seconds that a client may need to see that its connection has died."""


class Site(Stack):
    """Asks the daemon itself, because a command takes the load's processor time."""

    def __init__(self) -> None:
        super().__init__()
        self.daemons: list[subprocess.Popen[bytes]] = []
        """Those started here; they leave when nothing is wanted any more."""

    def status(self) -> dict:
        return Client(self.home / "api.sock").ask(verbs.STATUS)  # type: ignore[return-value]

    def revive(self) -> dict:
        """Any command starts a daemon where there is none."""
        self.done("status")
        return self.status()

    def pids(self, app: str = "web") -> list[int]:
        return [instance["pid"] for instance in self.instances(app)]

    def is_whole(self, app: str = "web") -> bool:
        """Every slot has exactly one instance, ready and of the version in force."""
        with suppress(PorticoError):
            found = next(each for each in self.status()["apps"] if each["name"] == app)
            ready = [i for i in found["instances"] if i["state"] == "ready" and i["current"]]
            return len(ready) == len(found["instances"]) == found["wanted"]
        return False


def web(program: str = NODE, env: dict[str, str] | None = None, **keys: object) -> str:
    """The text of a file with one app behind one site."""
    keys = {"command": program, "instances": INSTANCES, "health": "/healthz"} | keys
    lines = [f"{key} = {_toml(value)}" for key, value in keys.items()]
    lines.append(f"env = {_toml(env or {})}")
    return "[apps.web]\n" + "\n".join(lines) + f"\n[sites.'{NAME}']\napp = 'web'\n"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


@contextmanager
def portico(
    outcome: Outcome, text: str, prepared: Callable[[Site], AbstractContextManager] = nullcontext
) -> Iterator[Site]:
    """Up for the time of the block; the row is wrong if `portico down` leaves anything."""
    site = Site()
    with prepared(site):
        try:
            site.up(text, workers=2)
            yield site
        finally:
            left = site.close()
            for daemon in site.daemons:
                daemon.wait(30)
    shutil.rmtree(site.root, ignore_errors=True)  # where something was mounted, it was kept
    outcome.must(not left, f"left running: {', '.join(left)}")


@contextmanager
def load(site: Stack, effort: Effort, **differing: object) -> Iterator[RunningLoad]:
    """GET, POST with a body, WebSockets, and an upload in progress, until the block ends."""
    path = f"/?sleep={effort.answer}"
    work = {
        "rate": effort.rate,
        "connections": 64,
        "posts": 0.2,
        "body": 2048,
        "websockets": 10,
        "websocket_pause": 0.25,
        "upload_rate": 200_000,
        "upload_seconds": effort.drain,
        "upload_path": path,
        "seconds": 600,
    }
    with site.load(NAME, path, **(work | differing)) as running:
        yield running


def at_rest(site: Stack, effort: Effort, **differing: object) -> Report | None:
    if not effort.rest:
        return None
    with load(site, effort, **(differing | {"seconds": effort.rest})) as running:
        return running.report()


@dataclass(frozen=True, slots=True)
class Killed:
    """An instance that was killed, and when."""

    pid: int
    slot: int
    at: float

    @classmethod
    def of(cls, instance: dict) -> Killed:
        assert instance["pid"], f"{instance['id']} has no process"
        return cls(instance["pid"], instance["slot"], time.monotonic())

    def was_under_way(self, loss: Loss) -> bool:
        return loss["sent"] - SOON <= self.at <= loss["lost"] + SOON


def kill_instance(instance: dict) -> Killed:
    killed = Killed.of(instance)
    kill(killed.pid)
    return killed


def is_replaced(site: Site, killed: Killed) -> bool:
    now = next((i for i in site.instances("web") if i["slot"] == killed.slot), None)
    return now is not None and now["state"] == "ready" and now["pid"] not in {None, killed.pid}


def blame_killed(outcome: Outcome, killed: Sequence[Killed]) -> None:
    """What was on an instance when it was killed: its WebSockets, and POST in flight."""
    pids = {each.pid for each in killed}
    outcome.set_apart(
        "WebSocket of a killed instance",
        lambda loss: loss["kind"] == "WebSocket" and loss["pid"] in pids,
    )
    outcome.set_apart(
        "POST in flight on a killed instance",
        lambda loss: (
            loss["kind"] in {"POST", "upload"}
            and loss["why"] == "502"
            and any(each.was_under_way(loss) for each in killed)
        ),
    )


def kill_at_once(process: psutil.Process) -> set[int]:
    """SIGKILL; returns the clients' ports of the connections it had at that very moment."""
    process.send_signal(signal.SIGSTOP)
    eventually(lambda: process.status() == psutil.STATUS_STOPPED)
    held = {c.raddr.port for c in process.net_connections("tcp") if c.raddr}
    process.kill()
    return held


def pinned_port() -> int:
    """The first of four free ports in a row, where Portico gives out none by itself."""
    for first in random.SystemRandom().sample(range(12000, 19000), 100):
        if all(_is_free(first + n) for n in range(INSTANCES)):
            return first
    raise OSError("no four free ports in a row")


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return True
    return False


@contextmanager
def endings(pids: Collection[int]) -> Iterator[dict[int, float]]:
    """When each of these processes ended, on the monotonic clock; filled while the block runs."""
    seen: dict[int, float] = {}
    files = {os.pidfd_open(pid): pid for pid in pids}
    poller, done = select.poll(), threading.Event()
    for file in files:
        poller.register(file, select.POLLIN)

    def watch() -> None:
        while not done.is_set():
            for file, _ in poller.poll(100):
                poller.unregister(file)
                seen[files[file]] = time.monotonic()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
        for file in files:
            os.close(file)
