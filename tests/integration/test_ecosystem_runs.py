"""A PM2 file as it stands, run by the whole of Portico."""

from __future__ import annotations

import json
import shutil
import urllib.request

import pytest

from tests.addresses import free_port
from tests.stack import PROGRAMS
from tests.waiting import eventually


@pytest.fixture
def shop(stack):
    """Four entries of one program on four ports; returns the ports."""
    shutil.copy(PROGRAMS / "lower.js", stack.folder / "index.js")
    ports = [free_port() for _ in range(4)]
    entries = [
        {
            "name": f"shop-{number}",
            "script": "index.js",
            "autorestart": True,
            "watch": True,
            "ignore_watch": ["logs"],
            "max_memory_restart": "900M",
            "env": {"port": str(port)},
        }
        for number, port in enumerate(ports, 1)
    ]
    file = stack.folder / "ecosystem.config.js"
    file.write_text(f"module.exports = {{ apps: {json.dumps(entries)} }};")
    return ports


def test_entries_run_on_the_ports_they_name(stack, shop):
    up = stack.done("up", "ecosystem.config.js")
    assert "not supported" not in up.stderr
    assert "--site app.localhost" in up.stdout
    for port in shop:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
            assert json.load(answer)["port"] == str(port)
    assert f"shop-2.1 | listening on {shop[1]}" in stack.done("logs", "shop-2").stdout


def test_a_site_in_portico_toml_serves_them_as_one_upstream(stack, shop):
    (stack.folder / "portico.toml").write_text(
        f"""
        ecosystem = "ecosystem.config.js"
        [edge]
        http = {stack.http}
        https = {stack.https}
        [sites."shop.localhost"]
        upstream = "shop"
        """
    )
    stack.done("up")
    answers = [stack.get("shop.localhost").json for _ in range(20)]
    assert {answer["port"] for answer in answers} == {str(port) for port in shop}
    pids = {instance["pid"] for n in (1, 2, 3, 4) for instance in stack.instances(f"shop-{n}")}
    assert {answer["pid"] for answer in answers} == pids


FIXED = """
const http = require('node:http');
process.stdin.on('end', () => process.exit(7));
process.stdin.resume();
http.createServer((_, answer) => answer.end(JSON.stringify({
  pid: process.pid, name: process.env.name, pm_id: process.env.pm_id,
}))).listen(%d, '127.0.0.1');
"""


def test_a_program_with_a_fixed_port_is_replaced_keeps_its_input_and_is_found_by_a_site(stack):
    port = free_port()
    (stack.folder / "server").mkdir()
    (stack.folder / "server" / "index.js").write_text(FIXED % port)
    entry = {"name": "My API", "script": "./server", "kill_timeout": 1000}
    (stack.folder / "ecosystem.config.js").write_text(f"exports.apps = [{json.dumps(entry)}];")

    def answer():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as found:
                return json.load(found)
        except OSError:  # it is not known when a program without $PORT listens
            return None

    stack.done("up")
    first = eventually(answer)
    assert (first["name"], first["pm_id"]) == ("My API", "0")
    stack.done("reload", "My API")
    second = eventually(answer)
    assert second["pid"] != first["pid"]
    (instance,) = stack.instances("my-api")
    assert (instance["pid"], instance["restarts"]) == (second["pid"], 0)

    (stack.folder / "portico.toml").write_text(
        f"""
        ecosystem = "ecosystem.config.js"
        edge = {{ http = {stack.http}, https = {stack.https} }}
        sites."api.localhost".app = "my-api"
        """
    )
    stack.done("up")
    third = stack.get("api.localhost").json
    assert third["pid"] != second["pid"]
    with stack.load("api.localhost", rate=50, connections=4) as load:
        stack.done("reload", "my-api")
    report = load.stop()
    assert (report.failed, report.requests > 0) == ({}, True), report.losses
    assert stack.get("api.localhost").json["pid"] != third["pid"]
    (instance,) = stack.instances("my-api")
    assert instance["restarts"] == 0


SLOW = """
const http = require('node:http');
setTimeout(() => http.createServer((_, answer) => answer.end('{}')).listen(process.env.PORT), %d);
"""


def test_what_is_not_ready_in_time_continues_as_under_pm2(stack):
    """A web program that never says that it is ready, one that is slow, workers, and a cluster on
    a fixed port.
    """
    for name, text in {
        "silent.js": SLOW % 0,
        "slow.js": SLOW % 1500,
        "worker.js": "setInterval(() => {}, 1000);",
        "fixed.js": FIXED % free_port(),
    }.items():
        (stack.folder / name).write_text(text)
    listens = {"listen_timeout": 1000, "kill_timeout": 1000, "env": {"PORT": free_port()}}
    entries = [
        {"name": "silent", "script": "silent.js", "wait_ready": True, **listens},
        {"name": "slow", "script": "slow.js", **listens, "env": {"PORT": free_port()}},
        {"name": "worker", "script": "worker.js", "instances": 2, "listen_timeout": 1000},
        {"name": "fixed", "script": "fixed.js", "instances": 2, "exec_mode": "cluster"},
    ]
    (stack.folder / "ecosystem.config.js").write_text(f"exports.apps = {json.dumps(entries)};")
    (stack.folder / "portico.toml").write_text(
        f"""
        ecosystem = "ecosystem.config.js"
        edge = {{ http = {stack.http}, https = {stack.https} }}
        sites."silent.localhost".app = "silent"
        sites."slow.localhost".app = "slow"
        sites."fixed.localhost".app = "fixed"
        """
    )
    stack.up()
    assert stack.get("silent.localhost").status == 200
    assert stack.get("slow.localhost").status == 200
    fixed = {stack.get("fixed.localhost").json["pid"] for _ in range(20)}
    assert fixed == {i["pid"] for i in stack.instances("fixed")}
    assert len(fixed) == 2
    workers = stack.instances("worker")
    assert [(i["state"], i["restarts"]) for i in workers] == [("ready", 0)] * 2
    stack.done("reload", "worker")
    stack.done("reload", "fixed")
    again = {stack.get("fixed.localhost").json["pid"] for _ in range(20)}
    assert len(again) == 2
    assert again.isdisjoint(fixed)
    assert {i["restarts"] for i in stack.instances("fixed")} == {0}
    assert {i["pid"] for i in stack.instances("worker")}.isdisjoint({i["pid"] for i in workers})
