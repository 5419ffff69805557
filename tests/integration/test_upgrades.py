"""A newer Portico and a newer nginx take over, with the whole stack under load."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests import newer
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually, is_gone

RATE = 50


@pytest.fixture
def two(stack) -> Stack:
    """Two instances behind an nginx whose program can be replaced."""
    stack.up(
        f"[apps.web]\ncommand = 'python3 {PROGRAMS / 'echo.py'}'\ninstances = 2\n"
        "health = '/healthz'\n[sites.'app.localhost']\napp = 'web'\n",
        workers=2,
        nginx=str(newer.nginx(stack.root / "nginx")),
    )
    return stack


def pids(stack: Stack) -> list[int]:
    return [instance["pid"] for instance in stack.instances("web")]


def become_later(stack: Stack, **how: int) -> None:
    stack.environ |= newer.portico_in(stack.root / "later", **how)


def test_a_newer_portico_and_a_newer_nginx_take_over_in_one_command_and_lose_nothing(two):
    before, daemon = pids(two), two.status()["daemon"]
    work = {"rate": RATE, "posts": 0.3, "connections": 16, "websockets": 0}
    with two.load("app.localhost", "/?sleep=0.01", **work) as load:
        newer.nginx(two.root / "nginx", later=True)
        become_later(two)
        told = two.done("upgrade").stdout
        report = load.stop()
    assert report.failed == {}, report.first_failures
    assert told == (
        f"porticod {daemon['version']} → 0.99.0 (same 2 instances), nginx 1.31.3 → 1.31.9\n"
    )
    status = two.status()
    assert (status["daemon"]["version"], status["nginx"]["version"]) == ("0.99.0", "1.31.9")
    assert status["troubles"] == []
    assert pids(two) == before
    eventually(lambda: is_gone(daemon["pid"]))


def test_a_newer_nginx_alone_is_taken_when_it_is_asked_for(two):
    newer.nginx(two.root / "nginx", later=True)
    status = two.status()
    assert status["nginx"]["outdated"]
    assert "run `portico upgrade` to switch" in status["troubles"][0]
    told = json.loads(two.done("upgrade", "--json").stdout)
    assert told["nginx"]["before"] == "1.31.3"
    assert told["nginx"]["after"] == "1.31.9"
    assert told["porticod"]["before_pid"] == told["porticod"]["after_pid"]
    assert told["instances"] == {"before": 2, "same": 2}
    assert not two.status()["nginx"]["outdated"]
    assert two.get("app.localhost").status == 200


def test_another_nginx_that_the_file_names_takes_over_and_loses_nothing(two):
    other = newer.nginx(two.root / "other", later=True)
    with two.load("app.localhost", "/?sleep=0.01", rate=RATE, posts=0.3) as load:
        text = (two.folder / "portico.toml").read_text()
        (two.folder / "portico.toml").write_text(text.replace(f"{two.root}/nginx", str(other)))
        two.up()
        report = load.stop()
    assert report.failed == {}, report.first_failures
    nginx = two.status()["nginx"]
    assert (nginx["program"], nginx["version"]) == (str(other), "1.31.9")


def test_the_daemon_of_the_same_version_is_replaced_when_that_is_asked_for(two):
    before = two.status()
    told = two.done("upgrade", "--daemon").stdout
    version = before["daemon"]["version"]
    assert told == f"porticod {version} restarted (same 2 instances), nginx 1.31.3 unchanged\n"
    assert two.status()["daemon"]["pid"] != before["daemon"]["pid"]
    assert two.status()["nginx"]["pid"] == before["nginx"]["pid"]


def test_up_of_a_newer_portico_brings_its_daemon_along(two):
    before = pids(two)
    become_later(two)
    told = two.up()
    assert "with 0.99.0" in told.stderr
    assert two.status()["daemon"]["version"] == "0.99.0"
    assert pids(two) == before


def test_an_nginx_that_does_not_take_the_files_leaves_everything_as_it_was(two):
    before = two.status()
    newer.placed(
        two.root / "nginx",
        b"#!/bin/sh\n"
        b'[ "$1" = -V ] && echo "nginx version: nginx/1.31.9" >&2 && exit\n'
        b'for word; do [ "$word" = nginx.conf ] && exit; done\n'
        b"echo 'nginx: [emerg] unknown directive \"zone\" in /x/nginx.conf:1' >&2; exit 1\n",
    )
    told = two.portico("upgrade")
    assert told.returncode == 2
    assert 'unknown directive "zone"' in told.stderr
    assert "the running configuration is unchanged" in told.stderr
    assert two.status()["nginx"]["pid"] == before["nginx"]["pid"]
    assert two.get("app.localhost").status == 200


def test_a_daemon_that_dies_while_nginx_is_replaced_leaves_that_to_the_next_one(two):
    nginx = two.status()["nginx"]["pid"]
    newer.nginx(two.root / "nginx", later=True)
    with two.load("app.localhost", "/?sleep=0.01", rate=RATE, posts=0.3) as load:
        daemon = two.status()["daemon"]["pid"]
        begin_with(two)
        os.kill(nginx, signal.SIGUSR2)
        eventually((two.home / "nginx/nginx.pid.oldbin").exists)
        os.kill(daemon, signal.SIGKILL)
        eventually(lambda: two.status()["nginx"]["version"] == "1.31.9")
        eventually(lambda: is_gone(nginx))
        eventually(lambda: not (two.home / "nginx/seeds").exists())
        report = load.stop()
    assert report.failed == {}, report.first_failures
    assert not (two.home / "nginx/nginx.pid.oldbin").exists()


def begin_with(stack: Stack) -> None:
    """What the daemon does before it has nginx's program replaced."""
    bootstrap_peers = stack.home / "nginx/seeds"
    bootstrap_peers.mkdir()
    servers = [f"server 127.0.0.1:{i['port']};\n" for i in stack.instances("web")]
    (bootstrap_peers / "web.conf").write_text("".join(servers))


def test_the_state_of_a_newer_portico_is_refused_in_words_and_what_runs_goes_on(two):
    environ = dict(two.environ)
    become_later(two, tables=1)
    two.done("upgrade")
    before = pids(two)
    two.environ = environ
    told = two.portico("upgrade")
    assert told.returncode == 1
    assert "cannot replace the daemon; it keeps running" in told.stderr
    assert "it was written by a newer Portico" in told.stderr
    assert two.status()["daemon"]["version"] == "0.99.0"
    assert pids(two) == before

    os.kill(two.status()["daemon"]["pid"], signal.SIGTERM)
    eventually(lambda: not (two.home / "api.sock").exists())
    told = two.portico("status")
    assert told.returncode == 1
    assert "cannot start the daemon: it exited immediately" in told.stderr
    assert "it was written by a newer Portico" in told.stderr
    assert "Traceback" not in told.stderr
    assert two.get("app.localhost").status == 200
    two.environ["PYTHONPATH"] = str(two.root / "later")
    assert pids(two) == before


def test_a_daemon_in_the_foreground_is_not_replaced_from_outside(stack):
    """Its end would be the end of everything."""
    file = stack.write("[apps.web]\ncommand = 'sleep 300'\nport = false\n")
    with stack.running("run", str(file)):
        eventually((stack.home / "api.sock").exists)
        eventually(lambda: [i["state"] for i in stack.instances("web")] == ["ready"])
        told = stack.portico("upgrade", "--daemon")
        assert told.returncode == 2
        assert "runs in the foreground, and stopping it would stop everything" in told.stderr
        assert stack.instances("web")[0]["state"] == "ready"
