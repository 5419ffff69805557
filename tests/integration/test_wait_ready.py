"""Instances that are ready only when they say so."""

from __future__ import annotations

import os

from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

FILE = """
[apps.web]
command = "python3 {programs}/ready.py {go}.web{more}"
env = {{ VERSION = {version} }}
health = "/"
wait_ready = true
ready_timeout = "{limit}s"

[apps.jobs]
command = "node {programs}/ready.js {go}.jobs"
port = false
wait_ready = true

[apps.liar]
command = "python3 {programs}/ready.py {go}.liar for-others"
port = false
wait_ready = true

[sites."app.localhost"]
app = "web"
"""


def write(stack: Stack, version: int = 1, more: str = "", limit: int = 60) -> None:
    stack.write(
        FILE.format(
            programs=PROGRAMS, go=stack.root / "go", version=version, more=more, limit=limit
        )
    )


def states(stack: Stack) -> dict[str, str]:
    return {app["name"]: app["state"] for app in stack.status()["apps"]}


def test_instances_are_ready_when_they_say_so_also_to_a_new_daemon_and_not_when_others_do(stack):
    write(stack)
    with stack.running("up"):
        eventually(lambda: stack.home.joinpath("api.sock").exists())
        eventually(lambda: states(stack).get("liar") == "ready")
        eventually(lambda: [i["says"] for i in stack.instances("web")] == ["warms up"])
        (web,) = stack.instances("web")
        assert web["state"] == "starting"
        (jobs,) = stack.instances("jobs")
        assert (jobs["state"], jobs["says"]) == (
            "starting",
            "no readiness notification yet (wait_ready)",
        )
        stack.kill_daemon()
    (stack.root / "go.jobs").touch()  # it says so to nobody at first
    eventually(lambda: states(stack)["jobs"] == "ready")
    assert states(stack)["web"] == "starting"
    (stack.root / "go.web").touch()
    eventually(lambda: states(stack)["web"] == "ready")
    (again,) = stack.instances("web")
    assert (again["pid"], again["restarts"], again["says"]) == (web["pid"], 0, "works")
    eventually(lambda: stack.answers("app.localhost"))

    write(stack, version=2, more=".never", limit=2)
    result = stack.portico("up")
    assert result.returncode == 1
    assert "was not ready within 2s: wait_ready is set, but it did not send" in result.stderr
    eventually(lambda: [i["pid"] for i in stack.instances("web")] == [web["pid"]])
    assert stack.get("app.localhost").status == 200

    stack.kill_daemon()  # the death of nobody whom it told anything
    (stack.root / "go.jobs.more").touch()
    output = stack.home / "logs/apps/jobs.1.out.log"
    eventually(lambda: output.read_text().count("sent null") > 2)
    os.kill(jobs["pid"], 0)
