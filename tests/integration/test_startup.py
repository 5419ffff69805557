"""The systemd unit, and what the daemon tells whoever started it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from portico.client.systemd import SYSTEMD_FOLDER, former_unit, installed_unit, name_of, unit_of
from portico.system.home import Home
from portico.system.notify import Notify


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize(
    "home", ["/var/lib/portico", '/srv/a "folder" with 100% \\', "/srv/büro/a-b"]
)
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
    assert other.name == "portico@srv-shop.example.service"
    mine = unit_of(Home(tmp_path / ".local/state/portico"), {"HOME": str(tmp_path)}, root=False)
    assert (mine.name, mine.user) == ("portico.service", True)
    assert mine.path == tmp_path / ".config/systemd/user/portico.service"


HOMES = [
    "/a/b",
    "/a-b",
    "/a_b",
    "/a b",
    "/.a",
    "/a/programs",
    "/a-programs",
    "/a/certs",
    "/ü/-/.b",
]


def test_no_two_homes_have_a_unit_of_one_name():
    names = [
        name_of(Home(Path(home)), {}, root=True, of=of)
        for home in ("/var/lib/portico", "/", "/programs", "/certs", *HOMES)
        for of in ("", "programs", "certs")
    ]
    assert len({*names}) == len(names)
    assert "portico@a-b" in names
    long = [name_of(Home(Path(f"/{'ü' * 40}{end}")), {}, root=True, of="programs") for end in "ab"]
    assert long[0] != long[1]
    assert all(len(f"{name}.service") < 256 for name in long)


@pytest.mark.skipif(not shutil.which("systemd-escape"), reason="needs systemd-escape")
def test_a_path_is_in_the_name_as_systemd_writes_it():
    command = ["systemd-escape", "--path", "--template=portico@.service", *HOMES]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    ours = [unit_of(Home(Path(home)), {}, root=True).name for home in HOMES]
    assert ours == told.split()


def test_the_unit_of_a_former_name_is_in_charge_of_its_own_home_until_it_is_replaced(tmp_path):
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    home, other = Home(Path("/a-b")), Home(Path("/a/b"))
    former = tmp_path / "systemd/user/portico-a-b.service"
    former.parent.mkdir(parents=True)
    former.write_text(unit_of(home, environ, root=False).text)

    found = former_unit(home, environ, root=False)
    assert found
    assert found.path == former
    assert installed_unit(home, environ, booted=tmp_path, root=False) == found
    assert former_unit(other, environ, root=False) is None
    assert installed_unit(other, environ, booted=tmp_path, root=False) is None
    if not SYSTEMD_FOLDER.exists():
        found.remove()
        assert not former.exists()


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
        notify.ping_watchdog()
        notify.stopping()
        heard = [listener.recv(100) for _ in range(3)]
    assert heard == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]
    assert notify.watchdog_interval == 20


def test_a_daemon_that_nobody_listens_to_says_nothing():
    notify = Notify({})
    notify.ready()
    assert (notify.is_supervised, notify.watchdog_interval) == (False, None)
