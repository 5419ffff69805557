"""All machines of a cluster as each of them shows them; one is lost, one is of another version."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from portico import __version__
from portico.core.model.neighbour import neighbours_socket
from tests import newer
from tests.clients import UnixConnection
from tests.cluster import SITE, Machines, needs_root
from tests.stack import BIN, PROGRAMS
from tests.waiting import eventually

pytestmark = needs_root
APPS = f"""
[apps.web]
command = ["python3", "{PROGRAMS}/echo.py"]
instances = 1

[apps.jobs]
command = ["python3", "{PROGRAMS}/echo.py"]
on = ["m2"]

[sites."{SITE}"]
app = "web"
"""
PROBES = 20
"""Requests, more than `up` makes to see that a site answers."""
STEADY = {"rate": 40.0, "connections": 4, "seconds": 120.0, "posts": 0.5}


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with Machines("m1", "m2", "m3") as machines:
        machines.up(APPS, "m1", "m2")
        machines.up(APPS, "m3", user="daemon")  # of its nginx's workers
        for machine in machines:
            others = {each.name for each in machines if each is not machine}
            eventually(lambda m=machine, o=others: answering(machines, m.name) == o)
        yield machines


def answering(machines: Machines, name: str) -> set[str]:
    found = machines[name].api("/v1/machines")
    return {each["name"] for each in found if each["status"] and each["used"]}


def shown(machines: Machines, *args: str) -> list[list[str]]:
    return [line.split() for line in machines["m1"].done(*args).stdout.splitlines() if line]


def requests(machines: Machines, name: str) -> int:
    """Of the site, as m1 says; none before the program that counts answers."""
    found = machines["m1"].api(f"/v1/traffic?site={SITE}&machine={name}")
    return found["day"]["requests"] if "day" in found else 0


def asked(machines: Machines, method: str, path: str) -> int:
    """The status of a question to another machine, on the way of the daemon of m1."""
    connection = UnixConnection(Path(neighbours_socket(str(machines["m1"].home))))
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_each_instance_is_a_row_by_machine_and_both_sides_are_shown(machines):
    rows = shown(machines, "status")
    instances = [
        row[:3] for row in rows if row[0] in {"m1", "m2", "m3"} and row[1] in {"web", "jobs"}
    ]
    assert instances == [
        ["m1", "web", "web.1.1"],
        ["m2", "web", "web.1.1"],
        ["m2", "jobs", "jobs.1.1"],
        ["m3", "web", "web.1.1"],
    ]

    def second() -> str:
        rows = shown(machines, "status")
        return next(" ".join(row) for row in rows if row[:2] == ["m2", "10.0.0.2"])

    eventually(lambda: "jobs (1), web (1)" in second())  # announced a while after it is ready
    assert second() == f"m2 10.0.0.2 reached {__version__} jobs (1), web (1) yes -"

    only = shown(machines, "status", "web", "--machine", "m3")
    assert [row[:2] for row in only if row[1] in {"web", "jobs"}] == [["m3", "web"]]
    assert all("m2" not in row for row in shown(machines, "status", "--here"))
    status = json.loads(machines["m1"].done("status", "--json").stdout)
    assert status["machine"] == "m1"
    assert [each["status"]["machine"] for each in status["machines"]] == ["m2", "m3"]
    refused = machines["m1"].portico("status", "--machine", "m9")
    assert "no other machine of the cluster is called m9" in refused.stderr


def test_events_traffic_and_metrics_say_of_which_machine_they_are(machines):
    lines = machines["m1"].done("events", "--json", "--kind", "ready").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert {each["machine"] for each in events} == {"m1", "m2", "m3"}
    assert [each["at"] for each in events] == sorted(each["at"] for each in events)
    only = machines["m1"].done("events", "--json", "--machine", "m2").stdout.splitlines()
    assert {json.loads(line)["machine"] for line in only} == {"m2"}

    for _ in range(PROBES):
        assert machines["m3"].get(SITE).status == 200
    eventually(lambda: requests(machines, "m3") >= PROBES)
    assert requests(machines, "m1") < PROBES
    text = machines["m1"].done("metrics").stdout
    assert 'portico_instance_up{machine="m1",project="project",app="web"' in text
    assert 'portico_machine_used{machine="m2"} 1\n' in text


def test_another_machine_can_only_read(machines):
    assert asked(machines, "GET", "/m2/v1/status") == http.client.OK
    assert asked(machines, "POST", "/m2/v1/status") == http.client.FORBIDDEN
    for path in ("/m2/v1/version", "/m2/v1/apps/web/stop", "/m2/v1/machines", "/m2/v1/"):
        assert asked(machines, "GET", path) == http.client.NOT_FOUND
        assert asked(machines, "POST", path) == http.client.NOT_FOUND


def test_a_machine_of_another_version_whose_clock_is_wrong_is_shown_and_serves(machines, tmp_path):
    assert machines["m1"].done("cluster", "check").stdout.splitlines()[-1] == "nothing found"
    folder = tmp_path / "newer"
    folder.mkdir()
    two = machines["m2"]
    later = newer.portico_in(folder)
    newer.edit(
        folder / "portico/core/planning/neighbours.py",
        '"machine": near.machine,',
        '"machine": near.machine, "zone": "a",',
    )
    newer.edit(
        folder / "portico/core/model/views.py",
        '    machine: str = Field("", description="Name of this machine in',
        '    zone: str = \'a\'\n    machine: str = Field("", description="Name of this machine in',
    )
    newer.set_clock(folder, 3 * 3600)
    with machines.load("m1", **STEADY) as load:  # as docs/cluster.md has it
        two.done("cluster", "drain")
        two.environ |= later
        two.done("upgrade")
        two.done("cluster", "undrain")
        eventually(lambda: answering(machines, "m1") == {"m2", "m3"})
        eventually(lambda: "web" in two.api("/v1/machines")[0]["apps"])
        assert load.stop().lost == 0
    [row] = [row for row in shown(machines, "status") if row[:2] == ["m2", "10.0.0.2"]]
    assert row[2:4] == ["reached", newer.LATER]
    found = machines["m1"].portico("cluster", "check")
    assert found.returncode == 1
    assert f"m2 has version {newer.LATER} of Portico" in found.stdout
    assert re.search(r"m2 has a clock that is 10(79|80)\d\.\d s ahead of that of m1", found.stdout)


def test_a_machine_that_is_lost_is_a_row_and_fails_no_command(machines, tmp_path):
    machines.up(APPS.replace("instances = 1", "instances = 2"), "m3")
    found = machines["m1"].portico("cluster", "check", "--json")
    files = [each for each in json.loads(found.stdout)["findings"] if "file" in each["what"]]
    assert [each["machine"] for each in files] == ["m3"]

    one, followed, said = machines["m1"], tmp_path / "followed", tmp_path / "said"
    command = [*one.network.words, BIN / "portico", "events", "-f", "--json"]
    with followed.open("w") as out, said.open("w") as err:
        following = subprocess.Popen(
            command, env=one.environ, cwd=one.folder, stdout=out, stderr=err
        )
    try:
        _lose_one_that_is_followed(machines, followed, said)
    finally:
        following.terminate()
        following.wait(60)


def _lose_one_that_is_followed(machines: Machines, followed: Path, said: Path) -> None:
    def is_followed(machine: str, kind: str) -> bool:
        events = map(json.loads, followed.read_text().splitlines())
        return any((each["machine"], each["kind"]) == (machine, kind) for each in events)

    eventually(followed.read_text)  # from here on nothing is missed
    machines["m3"].done("reload", "web")
    eventually(lambda: is_followed("m3", "reload"))
    machines.cut("m3")
    rows = shown(machines, "status")  # at once: it is asked, and does not answer within a second
    assert [row for row in rows if row[:2] == ["m2", "web"]]
    eventually(lambda: machines["m1"].api("/v1/machines")[1]["since"] is not None)
    [row] = [" ".join(row) for row in shown(machines, "status") if row[:2] == ["m3", "10.0.0.3"]]
    assert "not reached - " in row
    assert "no answer since " in row
    assert machines["m1"].done("events").stdout
    found = machines["m1"].portico("cluster", "check")
    assert found.returncode == 2
    assert "error: m3 gives no answer" in found.stdout
    assert "error: m1 does not reach m3" in found.stdout

    eventually(lambda: "machine m3 gives no answer" in said.read_text())
    machines["m3"].done("restart", "web")
    machines.mend("m3")
    eventually(lambda: is_followed("m3", "restart"))
    lines = said.read_text().splitlines()
    assert len(lines) == 2
    assert lines[1] == "machine m3 answers"
