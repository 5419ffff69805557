"""Under a unit of the system the daemon has few rights; what it starts has all of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from portico.client.systemd import unit_of
from portico.system.home import Home
from tests.stack import BIN, PROGRAMS
from tests.waiting import eventually, kill

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights that could be cut")

MOST_EXPOSED = 4.0
FILE = f"""
[apps.web]
command = "python3 {PROGRAMS / "echo.py"}"
instances = 2
[apps.web.health]
command = ["grep", "-q", "^NoNewPrivs:.0", "/proc/self/status"]
interval = "1s"
[apps.wrong]
command = "sh -c 'exit 3'"
port = false
autorestart = false
[sites."app.localhost"]
app = "web"
"""


def rights(pid: int | str) -> tuple[int, bool]:
    """The bounding set of a process, and whether it can gain none by exec."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["CapBnd"], 16), fields["NoNewPrivs"].strip() == "1"


def bounding_set(unit: str) -> list[str]:
    """As setpriv takes it: everything off but what the unit leaves."""
    left = [
        name.removeprefix("CAP_").lower()
        for line in unit.splitlines()
        if line.startswith("CapabilityBoundingSet=")
        for name in line.partition("=")[2].split()
    ]
    assert left
    return ["-all", *(f"+{name}" for name in left)]


@pytest.fixture
def systemd(stack):
    """Starts the two units of the stack's home as systemd would, as far as rights go."""
    unit = unit_of(Home(stack.home), stack.environ, root=True)
    stack.environ["NOTIFY_SOCKET"] = str(stack.root / "nobody")
    cut = ["setpriv", "--no-new-privs", "--bounding-set", ",".join(bounding_set(unit.text))]
    commands = {
        "launcher": [sys.executable, "-P", "-m", "portico.system.launcher"],
        "daemon": [*cut, BIN / "porticod"],
    }
    with ExitStack() as started:

        def start(name):
            launcher = {"PORTICO_LAUNCHER": str(stack.home / "launch")}
            environ = stack.environ | (launcher if name == "daemon" else {})
            process = subprocess.Popen(commands[name], env=environ)
            started.callback(process.wait, 30)
            started.callback(process.send_signal, signal.SIGTERM)
            file = stack.home / ("api.sock" if name == "daemon" else "launch")
            eventually(file.exists)
            return process

        yield start
        stack.done("down", "--now")


def test_what_a_daemon_with_few_rights_starts_has_all_of_them(stack, systemd):
    launcher, daemon = systemd("launcher"), systemd("daemon")
    stack.write(FILE)
    told = stack.portico("up", str(stack.folder / "portico.toml"))
    # How a program ended is known, though it is no child of the daemon's.
    assert "wrong.1.1 exited with code 3" in told.stderr
    all_rights = rights("self")
    assert rights(daemon.pid)[1]
    assert rights(daemon.pid)[0] < all_rights[0]
    nginx = eventually(lambda: stack.status()["nginx"]["pid"])  # `up` has ended at the failure
    pids = [i["pid"] for i in stack.instances("web")] + [nginx]
    assert [rights(pid) for pid in pids] == [all_rights] * 3

    # Both may die, and the programs go on.
    launcher.send_signal(signal.SIGKILL)
    launcher.wait(60)
    kill(daemon.pid)
    daemon.wait(60)
    for name in ("launch", "api.sock"):
        (stack.home / name).unlink()
    systemd("launcher")
    daemon = systemd("daemon")
    assert [i["pid"] for i in stack.instances("web")] == pids[:2]
    stack.done("reload", "web")
    eventually(lambda: stack.answers("app.localhost"))  # the check says nothing of the port
    renewed = [i["pid"] for i in stack.instances("web")]
    assert not {*renewed} & {*pids}
    assert [rights(pid) for pid in renewed] == [all_rights] * 2


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_calls_the_exposure_of_the_daemons_unit_low(tmp_path):
    unit = unit_of(Home(Path("/var/lib/portico")), {}, root=True)
    file = tmp_path / unit.name
    file.write_text(unit.text)
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    threshold = f"--threshold={MOST_EXPOSED * 10:.0f}"
    judged = subprocess.run(
        [*command, threshold, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout[-200:]
    assert "Overall exposure level for portico.service: " in judged.stdout
