"""The systemd unit, and what the daemon tells whoever started it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from portico.client.systemd import unit_of
from portico.system.home import Home
from portico.system.notify import Notify


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("home", ["/var/lib/portico", '/srv/a "folder" with 100% \\'])
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path, home):
    unit = unit_of(Home(Path(home)), {}, root=True)
    assert unit.launcher
    written = [tmp_path / each.name for each in (unit, unit.launcher)]
    for file, each in zip(written, (unit, unit.launcher), strict=True):
        file.write_text(each.text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", *map(str, written)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def test_a_restart_of_the_unit_leaves_instances_alone(tmp_path):
    unit = unit_of(Home(tmp_path), {}, root=True)
    assert unit.launcher
    for text in (unit.text, unit.launcher.text):
        assert "\nKillMode=process\n" in text
        assert "\nSendSIGKILL=no\n" in text
        assert "\nDelegate=yes\n" in text


def test_the_usual_home_has_the_plain_name_and_others_say_which_they_are(tmp_path):
    usual = unit_of(Home(Path("/var/lib/portico")), {}, root=True)
    other = unit_of(Home(Path("/srv/shop.example")), {}, root=True)
    assert usual.name == "portico.service"
    assert other.name == "portico-srv-shop-example.service"
    mine = unit_of(Home(tmp_path / ".local/state/portico"), {"HOME": str(tmp_path)}, root=False)
    assert (mine.name, mine.user) == ("portico.service", True)
    assert mine.path == tmp_path / ".config/systemd/user/portico.service"


def test_a_machine_without_systemd_is_told_what_to_do_instead(tmp_path):
    if Path("/run/systemd/system").exists():
        pytest.skip("systemd is the init of this machine")
    told = subprocess.run(
        [sys.executable, "-m", "portico.cli.main", "--home", str(tmp_path), "startup"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 2
    assert "systemd is not the init of this machine; nothing was changed" in told.stderr


@pytest.mark.parametrize("abstract", [False, True])
def test_the_daemon_says_ready_alive_and_leaving(tmp_path, abstract):
    name = f"@portico-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name[1:] if abstract else name)
        listener.settimeout(60)
        notify = Notify({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "60000000"})
        notify.ready()
        notify.alive()
        notify.leaving()
        heard = [listener.recv(100) for _ in range(3)]
    assert heard == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]
    assert notify.alive_every == 20


def test_a_daemon_that_nobody_listens_to_says_nothing():
    notify = Notify({})
    notify.ready()
    assert (notify.listened_to, notify.alive_every) == (False, None)
