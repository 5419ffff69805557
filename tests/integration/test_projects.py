"""Several projects on one machine: what is done to one of them leaves the others alone."""

from __future__ import annotations

import json

from tests.addresses import free_port
from tests.integration.test_boot import lose_power
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

APP = f"""
[apps.web]
command = "python3 {PROGRAMS / "echo.py"}"
health = "/healthz"
"""


def write(
    stack: Stack, name: str, more: str = "", *, version: int = 1, more_of_site: str = ""
) -> str:
    """A project in a folder of its name, with an app and a site; returns the folder."""
    folder = stack.root / name
    folder.mkdir(exist_ok=True)
    site = f'[sites."{name}.localhost"]\napp = "web"\n{more_of_site}\n'
    text = f'{more}\n{APP}[apps.web.env]\nVERSION = "{version}"\n{site}'
    (folder / "portico.toml").write_text(text)
    return str(folder)


def running(stack: Stack, project: str) -> list[tuple[str, int]]:
    """Instances that serve, and their pids."""
    apps = [each for each in stack.status()["apps"] if each["project"] == project]
    found = [i for each in apps for i in each["instances"] if i["state"] == "ready"]
    return [(i["id"], i["pid"]) for i in found]


def test_two_projects_live_through_whatever_is_done_to_one_of_them(stack: Stack):
    edge = f"[edge]\nhttp = {stack.http}\nhttps = {stack.https}\nworkers = 2\n"
    one = write(stack, "one", edge)
    stack.done("up", one)
    before = running(stack, "one")
    reports = {}
    with stack.load("one.localhost", rate=40, connections=4) as of_one:
        two = write(stack, "two")
        up = stack.done("up", two)
        assert "two.localhost" in up.stdout
        assert "one.localhost" not in up.stdout
        assert "apps: web, two/web" not in up.stderr  # the notes are of this file alone
        with stack.load("two.localhost", rate=40, connections=4) as of_two:
            write(stack, "two", version=2)
            stack.done("up", two)
            stack.done("rollback", "--project", "two")
            write(stack, "two", "nonsense = 1")
            assert stack.portico("up", two).returncode == 2
            write(stack, "two", '[sites."one.localhost"]\nfolder = "."\n')
            refused = stack.portico("up", two)
            assert f"{one}/portico.toml and in {two}/portico.toml" in refused.stderr
            assert running(stack, "one") == before
            stack.kill_daemon()
            write(stack, "one", edge, version=2)
            stack.done("up", one)
            stack.done("rollback", "--project", "one")
            stack.done("upgrade", "--daemon")
            before = running(stack, "one")
            reports["two"] = of_two.stop()
        stack.done("down", "two")
        assert running(stack, "two") == []
        assert running(stack, "one") == before
        reports["one"] = of_one.stop()
    assert not any(report.failed for report in reports.values()), reports
    assert all(report.requests > 100 for report in reports.values()), reports

    write(stack, "two", more_of_site='include = "own.conf"')
    own = stack.root / "two/own.conf"
    own.write_text("add_header X-Own yes;")
    stack.done("up", two)
    own.unlink()
    write(stack, "one", edge, more_of_site='aliases = ["first.localhost"]')
    stack.done("up", one)
    assert (stack.get("first.localhost").status, stack.get("two.localhost").status) == (200, 503)
    [trouble] = stack.status()["troubles"]
    assert trouble.startswith(f"{two}/portico.toml: ")
    assert "own.conf" in trouble
    own.write_text("add_header X-Own yes;")
    stack.done("up", two)
    assert stack.get("two.localhost").headers["X-Own"] == "yes"

    lose_power(stack)
    stack.status()  # begins a daemon, which is given no file
    for site in ("one.localhost", "two.localhost"):
        eventually(lambda site=site: stack.answers(site), within=180)
    assert stack.status()["troubles"] == []
    _assert_named(stack, one)
    _assert_ports_are_kept(stack, edge, two)


def _assert_ports_are_kept(stack: Stack, edge: str, two: str) -> None:
    refused = stack.portico("down", "one")
    assert refused.returncode == 2
    assert f"would move from {stack.http} and {stack.https} to " in refused.stderr
    write(stack, "one", version=3)
    refused = stack.portico("up", "one")
    assert refused.returncode == 2
    assert "cannot apply the file: no file would set the ports of [edge]" in refused.stderr
    assert stack.answers("one.localhost")
    (stack.home / "edge.toml").write_text(edge)
    stack.done("up", two)
    stack.done("down", "one")
    assert stack.answers("two.localhost")
    other = free_port()
    (stack.home / "edge.toml").write_text(edge.replace(str(stack.http), str(other)))
    said = stack.done("up", two).stderr
    ports = f"from {stack.http} and {stack.https} to {other} and {stack.https}"
    assert f"nginx moves {ports}" in said


def _assert_named(stack: Stack, one: str) -> None:
    """What each command means, with two projects that both have an app web."""
    said = stack.portico("reload", "web")
    assert said.returncode == 2
    assert "web is the name of several apps: one/web, two/web" in said.stderr
    said = stack.portico("down")
    assert "several projects are in force; name one: one, two" in said.stderr
    shown = json.loads(stack.done("status", "--json").stdout)
    assert {(each["project"], each["name"]) for each in shown["apps"]} == {
        ("one", "web"),
        ("two", "web"),
    }
    assert [each["folder"] for each in shown["projects"]] == [one, str(stack.root / "two")]
    assert '{project="two",app="web"}' in stack.done("metrics").stdout
    only = stack.done("status", "two").stdout
    assert "two.localhost" in only
    assert "one.localhost" not in only
    history = json.loads(stack.done("history", "--project", "two", "--json").stdout)
    assert {each["project"] for each in history} == {"two"}
    assert [each["current"] for each in history].count(True) == 1
