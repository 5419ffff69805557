"""Apps that come after others: real programs that note when they begin and end."""

from __future__ import annotations

import json

from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

APP = """
[apps.{name}]
command = ["sh", "-c", {script!r}]
port = false
min_uptime = "100ms"
health = {{ command = "test -e begun.$PORTICO_INSTANCE", interval = "100ms" }}
after = {after}
"""
SCRIPT = (
    "trap 'sleep .3; echo {name} >> ended; exit' TERM; echo {name} >> begun; "
    "touch begun.$PORTICO_INSTANCE; "
    "while :; do sleep .05; done"
)
ORDER = {"web": ["db"], "db": ["cache", "gate"], "cache": []}
GATE = """
[apps.gate]
command = "python3 {programs}/ready.py go"
port = false
wait_ready = true
ready_timeout = "{limit}s"
max_restarts = 1
backoff_limit = "200ms"
"""


def up_file(stack: Stack, limit: float, version: int = 1) -> None:
    apps = "".join(
        APP.format(name=name, after=after, script=SCRIPT.format(name=name) + f" # {version}")
        for name, after in ORDER.items()
    )
    stack.write(apps + GATE.format(programs=PROGRAMS, limit=limit))


def noted(stack: Stack, what: str) -> list[str]:
    file = stack.folder / what
    return file.read_text().split() if file.exists() else []


def state(stack: Stack, app: str) -> str:
    return next(a["state"] for a in stack.status()["apps"] if a["name"] == app)


def test_apps_begin_are_replaced_and_end_in_order_and_who_waits_says_for_what(stack):
    up_file(stack, limit=3)  # the second time it must be ready within that
    failed = stack.portico("up")
    assert failed.returncode == 1
    assert "wait_ready is set, but it did not send sd_notify READY=1" in failed.stderr
    assert "web waits for db, which waits for gate: gate.1.1 was not ready" in failed.stderr
    assert noted(stack, "begun") == ["cache"]
    assert state(stack, "web") == "waiting"
    shown = stack.portico("status")
    assert "db waits for gate: gate.1.1 was not ready" in shown.stdout
    assert "problem: web waits for db" in shown.stderr

    (stack.folder / "go").touch()
    stack.done("restart", "gate")
    eventually(lambda: noted(stack, "begun") == ["cache", "db", "web"])

    up_file(stack, limit=20, version=2)
    stack.up()
    assert noted(stack, "begun")[3:] == ["cache", "db", "web"]
    assert stack.done("restart").returncode == 0
    events = [
        json.loads(line)
        for line in stack.done("events", "-n", "999", "--json").stdout.splitlines()
    ]
    asked = [each["subject"] for each in events if "(pid " in each["text"]]
    assert asked[-1] == "*"
    assert "gate" in asked
    kinds = {(each["kind"], each["subject"]) for each in events}
    assert {("ready", "web"), ("kill", "gate.1.1"), ("exit", "gate.1.1")} <= kinds
    assert noted(stack, "begun")[6:] == ["cache", "db", "web"]

    (stack.folder / "ended").unlink()
    stack.done("stop")
    assert noted(stack, "ended") == ["web", "db", "cache"]
    stack.done("start")
    (stack.folder / "ended").unlink()
    stack.done("down")
    assert noted(stack, "ended") == ["web", "db", "cache"]


DEPLOY = """
[apps.web]
command = "python3 {programs}/echo.py"
after = ["migrate"]
env.VERSION = "{version}"
instances = 2

[apps.migrate]
command = ["sh", "-c", "echo . >> runs; while [ -e wait ]; do sleep .05; done; exit $(cat code)"]
port = false
autorestart = false
min_uptime = "10ms"
"""


def deploy_file(stack: Stack, version: int) -> None:
    stack.write(DEPLOY.format(programs=PROGRAMS, version=version))


def web_pids(stack: Stack) -> list[int]:
    return [i["pid"] for i in stack.instances("web") if i["state"] == "ready"]


def test_a_migration_ends_well_once_before_each_rollout_or_the_version_before_keeps_running(stack):
    deploy_file(stack, 1)
    (stack.folder / "code").write_text("0")
    (stack.folder / "wait").touch()
    with stack.running("up") as up:
        eventually(lambda: noted(stack, "runs"))
        eventually(lambda: state(stack, "migrate") == "running")
        eventually(lambda: "web waits for migrate to end" in stack.portico("status").stdout)
        assert web_pids(stack) == []
        (stack.folder / "wait").unlink()
        assert up.wait(60) == 0
    first = web_pids(stack)
    assert (len(first), noted(stack, "runs")) == (2, ["."])

    (stack.folder / "code").write_text("7")
    deploy_file(stack, 2)
    for failed in (stack.portico("up"), stack.portico("reload", "web")):
        assert failed.returncode == 1
        assert "web was rolled back; the previous version is serving: migrate.1." in failed.stderr
        assert "exited with code 7" in failed.stderr
    assert web_pids(stack) == first
    assert len(noted(stack, "runs")) == 3

    (stack.folder / "code").write_text("0")
    stack.up()
    assert set(web_pids(stack)).isdisjoint(first)
    stack.done("scale", "web", "1")
    stack.up()
    assert len(noted(stack, "runs")) == 4
    stack.done("reload", "web")
    assert len(noted(stack, "runs")) == 5
