"""Several machines, each a network namespace with a whole Portico in it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from portico.core.render.etcd_member import ETCD_FOLDER
from portico.system.cluster_identity import read_identity
from portico.system.home import Home
from tests import etcd as harness
from tests.cluster import SITE, Machine, Machines, needs_root
from tests.etcd import configured_member
from tests.stack import PROGRAMS
from tests.waiting import eventually

pytestmark = needs_root
STEADY = {"rate": 20, "connections": 4, "seconds": 300.0, "timeout": 8.0, "posts": 0.3}
PAGE = Path(__file__).parents[2] / "docs/cluster.md"
APPS = f"""
[apps.web]
command = ["python3", "{PROGRAMS}/echo.py"]
instances = 1

[apps.jobs]
command = ["python3", "{PROGRAMS}/echo.py"]
on = ["m2", "m3"]

[sites."{SITE}"]
app = "web"
[sites."{SITE}".routes]
"/jobs" = "jobs"
"""


@pytest.mark.slow
def test_no_request_is_lost_while_a_machine_leaves_and_another_takes_its_name() -> None:
    with Machines("m1", "m2", "m3") as machines:
        machines.up(APPS)
        one, three = machines["m1"], machines["m3"]
        eventually(lambda: one.hears_of("jobs"))
        eventually(lambda: one.get(SITE, "/jobs").status == 200)
        with machines.load("m1", path="/jobs", rate=40, connections=4, posts=0.5) as load:
            three.done("cluster", "drain")
            assert _health(three) == 503
            machines.up(APPS.replace(', "m3"', ""), "m1", "m2", without=["m3"])
            three.done("down", "--all")
            three.done("cluster", "leave")
            for name in ("m3", "m2"):  # m2 has a certificate, which this renews
                one.done("cluster", "invite", name, "--replace")
                shutil.move(one.folder / f"{name}.invitation", machines[name].folder)
                machines[name].done("cluster", "join", f"{name}.invitation")
            machines.up(APPS, "m3", "m1", "m2")
            renewed = read_identity(Home(machines["m2"].home))
            assert renewed
            assert renewed.certificate in machines["m2"].done("render", "--current").stdout
            eventually(lambda: _health(three) == 200)
            machines["m2"].done("cluster", "drain")
            assert load.stop().failed == {}


def test_the_quick_start_leads_to_three_machines_that_serve() -> None:
    with Machines("m1", "m2", "m3", joined=False) as machines:
        page = PAGE.read_text(encoding="utf-8")
        _write_file(page, machines)
        _follow(_consoles(page)[0], machines)
        for machine in machines:
            assert machine.answers(SITE)
        eventually(lambda: machines["m1"].hears_of("jobs"))
        eventually(lambda: machines["m1"].get(SITE, "/jobs").status == 200)
        away = machines["m1"].get(SITE, "/jobs")
        assert away.headers["X-Pid"] in {
            str(each["pid"]) for name in ("m2", "m3") for each in machines[name].instances("jobs")
        }
        assert _health(machines["m1"]) == 200
        refused = machines["m2"].portico("cluster", "leave")
        assert "uses its certificate" in refused.stderr
        machines["m2"].done("down", "--all")
        machines["m2"].done("cluster", "leave")
        eventually(lambda: machines["m1"].get(SITE, "/jobs").status == 200)


@pytest.mark.slow
@pytest.mark.skipif(bool(harness.MISSING), reason=harness.WHY_SKIPPED)
def test_the_quick_start_with_etcd_leads_to_machines_that_serve_without_one_and_its_member() -> (
    None
):
    page = PAGE.read_text(encoding="utf-8")
    _, etcd, joins = _consoles(page)
    members = dict[str, subprocess.Popen[bytes]]()
    with Machines("m1", "m2", "m3", joined=False) as machines, ExitStack() as stack:
        file = _write_file(page, machines)
        (machines["m1"].folder / "portico.toml").write_text(file.split("[machines]")[0])
        for machine in machines:
            machine.write_edge()
        _follow(etcd, machines)
        for machine in machines:
            folder, data = machine.root / "portico-etcd", machine.root / "data"
            member = configured_member(folder, data, machine.network.words)
            members[machine.name] = stack.enter_context(member)
        eventually(lambda: _is_created(joins, machines))
        _follow(joins.split("\n", 2)[2], machines)
        for machine in machines:
            eventually(lambda machine=machine: machine.answers(SITE))
        eventually(lambda: machines["m1"].get(SITE, "/jobs").status == 200)
        _lose_first_machine(machines, members["m1"])


def _lose_first_machine(machines: Machines, member: subprocess.Popen[bytes]) -> None:
    """The others serve, and change what all share once they are told to do so without it."""
    _, two, _ = machines
    with machines.load("m2", **STEADY) as load, machines.load("m3", **STEADY) as other:
        machines.cut("m1")
        member.kill()
        machines["m1"].kill()
        eventually(lambda: two.sees(2))
        refused = two.portico("reload", "web")
        assert "not connected to the cluster's store: m1; nothing was changed" in refused.stderr
        two.done("reload", "web", "--without-absent")
        assert (load.stop().failed, other.stop().failed) == ({}, {})


def _is_created(console: str, machines: Machines) -> bool:
    """By its first command, once etcd answers."""
    command = console.splitlines()[0].removeprefix("m1$ ")
    result = machines["m1"].portico(*shlex.split(command)[1:])
    assert result.returncode == 0 or "cannot reach the store" in result.stderr, result
    return result.returncode == 0


def _consoles(page: str) -> list[str]:
    return re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def _write_file(page: str, machines: Machines) -> str:
    """With the programs, on all machines. Returns it without its [edge]."""
    file: str = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0]
    text = file.replace("shop.example.com", SITE).replace('"max"', "1")
    text = re.sub(r"node (\w+)\.js", r"python3 \1.py", text)
    for machine in machines:
        machine.write(text, bind=["127.0.0.1", machine.address])
        for name in ("index.py", "jobs.py"):
            shutil.copy(PROGRAMS / "echo.py", machine.folder / name)
    return text


def _follow(console: str, machines: Machines) -> None:
    """The commands of a part, on the machines that their prompts name."""
    token = ""
    for name, command, expected in re.findall(
        r"^(m\d)\$ (.*)\n((?:(?!m\d\$).*\n)*)", console, re.MULTILINE
    ):
        words = shlex.split(command.replace("TOKEN", token), comments=True)
        output = _run(machines, machines[name], words)
        assert [line for line in expected.splitlines() if line not in output] == [], output
        token = output.split("--token ")[-1].strip() if "--token " in output else token


def _run(machines: Machines, machine: Machine, words: list[str]) -> str:
    if words[0] in {"cp", "scp"}:
        *_, file, target = words
        name, _, path = target.rpartition(":")
        there, copied = machines[name] if name else machine, machine.folder / file
        if copied.is_dir():
            assert path == ETCD_FOLDER
            shutil.copytree(copied, there.root / "portico-etcd")
        else:
            shutil.copy(copied, there.folder)
        return ""
    assert words[0] == "portico"
    return machine.done(*words[1:]).stdout


def _health(machine: Machine) -> int:
    with machine.client(machine.address, tls=False) as client:
        return client.ask("GET", "/portico-health").status
