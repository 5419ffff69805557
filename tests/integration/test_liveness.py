"""Instances that stop working without ending: out of the way in time, restarted, reported."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from portico.client.client import Client
from portico.core.model import verbs
from portico.system.home import Home
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually, is_gone

TOLD = 1.5
"""Seconds after which nginx, which asks every second, knows what has changed."""
LATE = 2.0
"""Seconds for which a busy machine may hold up the daemon itself. When it did what is its log's to
say: a look from outside may be much later.
"""


def up(stack: Stack, app: str) -> None:
    stack.up(
        f"[apps.web]\ncommand = 'python3 {PROGRAMS / 'echo.py'}'\ninstances = 3\n{app}\n"
        "[sites.'app.localhost']\napp = 'web'\n",
        workers=2,
    )


def status(stack: Stack):
    """As the command line has it, without the time that a process needs to start."""
    return Client(Home(stack.home).socket).ask(verbs.STATUS)


def slots(stack: Stack) -> list:
    return sorted(status(stack).apps[0]["instances"], key=lambda i: i["slot"])


def states(stack: Stack) -> list[str]:
    return [i["state"] for i in slots(stack)]


def logged(stack: Stack, what: str) -> float:
    """The wall time at which the daemon has said so, the first time."""
    lines = (stack.home / "logs/porticod.log").read_text().splitlines()
    line = next(line for line in lines if what in line)
    return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC).timestamp()


def who_answers(stack: Stack, number: int = 30) -> set[int]:
    with stack.client("app.localhost") as client:
        return {client.ask("GET").json["pid"] for _ in range(number)}


@pytest.mark.slow
def test_a_hung_program_is_out_in_time_and_comes_back(stack):
    """It accepts connections, as the kernel does for it, and never answers."""
    health = "{ path = '/healthz', interval = '1s', fall = 3 }"
    up(stack, f"health = {health}\nstop_timeout = '1s'")
    hung = slots(stack)[1]
    with stack.load("app.localhost", rate=50, connections=64, timeout=60) as load:
        eventually(lambda: len(who_answers(stack)) == 3)
        stopped, at = time.monotonic(), time.time()
        os.kill(hung["pid"], signal.SIGSTOP)
        eventually(lambda: (states(stack) == ["ready"] * 3) and slots(stack)[1]["restarts"])
        time.sleep(TOLD)
        report = load.stop()
    out = logged(stack, f"{hung['id']} unready") - at
    restarting = logged(stack, f"restart {hung['id']}") - at
    print(f"out after {out:.2f}s, told to stop after {restarting:.2f}s")
    assert 2 <= out <= 3 * 1 + 1 + LATE
    assert restarting <= out + 3 + LATE
    now = slots(stack)[1]
    assert (now["restarts"], now["pid"] != hung["pid"]) == (1, True)
    assert [loss for loss in report.losses if loss["sent"] > stopped + out + TOLD] == []
    assert str(now["pid"]) in report.answers
    assert report.failed == {}, report.losses[:3]


def test_what_fails_its_check_gets_nothing_also_after_a_reload_and_a_new_daemon(stack):
    switch = stack.root / "unhealthy"
    health = "{ path = '/healthz', interval = '200ms', fall = 2, rise = 2, restart = false }"
    env = f"{{ UNHEALTHY_1 = '{switch}' }}"
    up(stack, f"health = {health}\nenv = {env}")
    everybody = {i["pid"] for i in slots(stack)}
    eventually(lambda: who_answers(stack) == everybody)

    switch.touch()
    eventually(lambda: states(stack)[1] == "unready")
    ill = slots(stack)[1]
    assert ill["reason"] == "fails its health check: /healthz answered 503"
    assert status(stack).apps[0]["state"] == "degraded"
    assert f"{ill['id']} fails its health check: /healthz answered 503" in status(stack).troubles
    shown = stack.done("status").stdout
    assert f"{ill['id']} is unready: fails its health check: /healthz answered 503" in shown
    others = everybody - {ill["pid"]}
    eventually(lambda: who_answers(stack) == others)

    generation = status(stack).nginx["generation"]
    text = (stack.folder / "portico.toml").read_text()
    text = text.replace("health =", "ready_timeout = '2s'\nhealth =")  # which `up` waits for
    (stack.folder / "portico.toml").write_text(f"{text}gzip = false\n")
    told = stack.portico("up")  # the site has changed at once; the app is as it was
    assert (told.returncode, f"{ill['id']} fails its health check" in told.stderr) == (1, True)
    eventually(lambda: status(stack).nginx["generation"] > generation)
    assert who_answers(stack, 100) == others

    stack.kill_daemon()
    with stack.load("app.localhost", rate=50, requests=100) as load:
        assert stack.instances("web")[1]["state"] == "unready"  # of another daemon
        report = load.report()
    assert report.failed == {}
    assert set(report.answers) == set(map(str, others))

    switch.unlink()
    eventually(lambda: states(stack) == ["ready"] * 3)
    eventually(lambda: who_answers(stack) == everybody)
    assert [i["restarts"] for i in slots(stack)] == [0, 0, 0]


def test_when_all_fail_their_check_all_go_on_getting_requests(stack):
    switch = stack.root / "unhealthy"
    health = "{ path = '/healthz', interval = '200ms', fall = 2, restart = false }"
    up(stack, f"health = {health}\nenv = {{ UNHEALTHY = '{switch}' }}")
    everybody = {i["pid"] for i in slots(stack)}
    with stack.load("app.localhost", rate=50) as load:
        switch.touch()
        eventually(lambda: states(stack) == ["unready"] * 3)
        time.sleep(TOLD)
        eventually(lambda: who_answers(stack) == everybody)
        trouble = "every instance of web fails its health check; requests are still sent to them"
        assert trouble in status(stack).troubles
        switch.unlink()
        eventually(lambda: states(stack) == ["ready"] * 3)
        report = load.stop()
    assert report.failed == {}


def test_one_that_never_recovers_is_given_up_and_reported(stack):
    switch = stack.root / "unhealthy"
    health = "{ path = '/healthz', interval = '200ms', fall = 1 }"
    up(
        stack,
        f"health = {health}\nenv = {{ UNHEALTHY_2 = '{switch}' }}\nmax_restarts = 2\n"
        "ready_timeout = '4s'\nbackoff_limit = '200ms'",
    )
    others = {i["pid"] for i in slots(stack)[:2]}
    with stack.load("app.localhost", rate=50) as load:
        switch.touch()
        eventually(lambda: states(stack)[2] == "failed")
        report = load.stop()
    assert report.failed == {}
    eventually(lambda: who_answers(stack) == others)  # with fall = 1 one may be out for a moment
    given_up = slots(stack)[2]
    assert "answered 503" in given_up["reason"]
    assert any(given_up["id"] in trouble for trouble in status(stack).troubles)
    switch.unlink()
    stack.done("reload", "web")
    assert {i["state"] for i in slots(stack) if i["current"]} == {"ready"}


def test_checks_of_other_kinds_decide_about_their_apps(stack):
    script = Path(stack.folder / "worker.py")
    script.write_text("import pathlib, time\npathlib.Path('well').touch()\ntime.sleep(3600)\n")
    stack.up(
        "[apps.jobs]\nscript = 'worker.py'\nport = false\nstop_timeout = '1s'\n"
        "health = { command = 'test -e well', interval = '200ms', fall = 2 }\n"
        f"[apps.calls]\ncommand = 'python3 {PROGRAMS / 'grpc_health.py'}'\n"
        "health = { grpc = 'up' }\n"
        f"[apps.dead]\ncommand = 'python3 {PROGRAMS / 'grpc_health.py'}'\n"
        "autostart = false\nready_timeout = '5s'\nhealth = { grpc = 'down' }\n"
        "[apps.lasts]\ncommand = 'sleep 10000'\nport = false\nmin_uptime = '1h'\n"
        "ready_timeout = '2s'\n"
    )
    apps = {app["name"]: app for app in status(stack).apps}
    assert [apps[name]["state"] for name in ("jobs", "calls", "lasts")] == ["ready"] * 3

    before = apps["jobs"]["instances"][0]
    (stack.folder / "well").unlink()
    eventually(lambda: status(stack).apps[0]["instances"][0]["restarts"] == 1)
    eventually(lambda: status(stack).apps[0]["state"] == "ready")
    assert is_gone(before["pid"])

    failed = stack.portico("start", "dead")
    assert failed.returncode == 1
    # On a busy machine it may not even have opened its port the first time; it is tried again.
    eventually(lambda: any("answered NOT_SERVING" in said for said in status(stack).troubles))
