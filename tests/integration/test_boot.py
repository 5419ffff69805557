"""After a boot everything that ran is back, by the start of the daemon alone."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psutil

from portico.core.planning.reconcile import START_WAIT
from tests.stack import BIN, PROGRAMS, Stack
from tests.waiting import eventually, kill

FILE = f"""
[apps.web]
command = "python3 {PROGRAMS / "echo.py"}"
instances = 3
health = "/healthz"
[apps.once]
command = "sleep 600"
port = false
autorestart = false
[apps.idle]
command = "python3 {PROGRAMS / "echo.py"}"
[sites."app.localhost"]
app = "web"
[sites."closed.localhost"]
app = "web"
"""


def lose_power(stack: Stack) -> None:
    """Everything of the home is gone at once, and the machine has started anew."""
    status = stack.status()
    kill(status["daemon"]["pid"])
    nginx = psutil.Process(status["nginx"]["pid"])
    pids = [nginx.pid, *(worker.pid for worker in nginx.children())]
    for app in status["apps"]:
        pids += [i["pid"] for i in app["instances"] if i["pid"]]
    for pid in pids:
        kill(pid)
    with closing(sqlite3.connect(stack.home / "portico.db", isolation_level=None)) as db:
        changed = db.execute("UPDATE setting SET value = 'before' WHERE name = 'boot'")
        assert changed.rowcount == 1


@contextmanager
def started(stack: Stack) -> Iterator[None]:
    """What the init of a machine does: start the daemon, and nothing else."""
    environ = stack.environ | {"NOTIFY_SOCKET": str(stack.root / "nobody")}
    daemon = subprocess.Popen([BIN / "porticod"], env=environ)
    try:
        eventually((stack.home / "api.sock").exists)
        yield
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)


def ready(stack: Stack, app: str, count: int) -> bool:
    return [i["state"] for i in stack.instances(app)] == ["ready"] * count


def test_everything_that_ran_is_back_and_what_was_stopped_is_not(stack):
    stack.up(FILE, workers=2)
    stack.done("scale", "web", "2")
    stack.done("stop", "idle")
    stack.done("pause", "closed.localhost")
    before = stack.status()
    lose_power(stack)
    # Numbers of processes begin anew too: this one now belongs to somebody else.
    (stack.home / "nginx/nginx.pid").write_text(f"{os.getpid()}\n")
    (stack.home / "api.sock").unlink()
    begun = time.monotonic()
    with started(stack):
        first = stack.first_status("app.localhost")
        assert first == 200 or time.monotonic() > begun + START_WAIT
        eventually(lambda: ready(stack, "web", 2) and ready(stack, "once", 1))
        assert stack.get("closed.localhost").status == 503
        generation = before["nginx"]["generation"]
        eventually(lambda: stack.status()["nginx"]["generation"] == generation)
        after = stack.status()
        assert after["revision"] == before["revision"]
        assert [app["state"] for app in after["apps"]] == [app["state"] for app in before["apps"]]
        assert after["troubles"] == []
        assert stack.instances("idle") == []
        stack.done("down", "--now")


def test_a_rollout_that_the_boot_has_interrupted_goes_on(stack):
    text = FILE.replace('health = "/healthz"', 'health = "/healthz"\nenv.START_DELAY = "0"')
    stack.up(text, workers=2)
    stack.write(text.replace('START_DELAY = "0"', 'START_DELAY = "3"'), workers=2)
    with stack.running("up", str(stack.folder / "portico.toml")):
        eventually(lambda: any(i["current"] for i in stack.instances("web")))
        eventually(lambda: not all(i["current"] for i in stack.instances("web")))
        lose_power(stack)
    (stack.home / "api.sock").unlink(missing_ok=True)
    with started(stack):
        eventually(lambda: ready(stack, "web", 3) and _is_new(stack))
        assert stack.status()["troubles"] == []
        stack.done("down", "--now")


def _is_new(stack: Stack) -> bool:
    app = next(app for app in stack.status()["apps"] if app["name"] == "web")
    return app["state"] == "ready" and all(i["current"] for i in app["instances"])
