"""`portico certs schedule`: one entry of cron or systemd, in a scratch copy of the system's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from portico.client.schedule import Schedule
from portico.errors import Failed, Refused
from portico.system.home import Home
from tests.commands import run_here

CRONTAB = """#!/bin/sh
case $1 in
-l) cat "$TABLE" 2>/dev/null || { echo "no crontab for $USER" >&2; exit 1; } ;;
-) cat > "$TABLE.new" && mv "$TABLE.new" "$TABLE" ;;
esac
"""
SYSTEMCTL = '#!/bin/sh\necho "$@" >> "$CALLED"\ncase "$*" in *"$FAIL"*) exit 1 ;; esac\n'


class Machine:
    def __init__(self, folder: Path, home: Path, *, root: bool = True):
        self.folder, self.table = folder, folder / "table"
        self.programs = folder / "bin"
        self.programs.mkdir(parents=True)
        self.environ = {
            **os.environ,
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "HOME": "/home/x",
            "XDG_CONFIG_HOME": "",
            "TABLE": str(self.table),
            "CALLED": str(folder / "called"),
            "FAIL": "nothing",
        }
        self.schedule = Schedule(Home(home), self.environ, at=folder, root=root)

    def has(self, name, text="#!/bin/sh\n"):
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def boots_systemd(self):
        (self.folder / "run/systemd/system").mkdir(parents=True)
        self.has("systemctl", SYSTEMCTL)
        self.has("loginctl", SYSTEMCTL)

    @property
    def called(self):
        return (self.folder / "called").read_text().splitlines()

    def files(self):
        return sorted(
            str(path.relative_to(self.folder))
            for path in (self.folder / "etc").rglob("*")
            if path.is_file()
        )


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path, Path("/var/lib/portico"))


def test_one_line_for_cron_is_installed_kept_and_removed(machine):
    machine.has("cron")
    first = machine.schedule.set("cron", 0.5)
    assert machine.schedule.set("cron", 0.9) == first == machine.schedule.entry()
    assert (first.kind, machine.files()) == ("cron", ["etc/cron.d/portico-certs"])
    assert first.what.startswith("0 6,18 * * * root env PATH=")
    assert first.what.endswith(" certs renew --quiet # portico-certs")
    assert (machine.folder / "etc/cron.d/portico-certs").stat().st_mode & 0o777 == 0o644
    assert machine.schedule.set("none", 0.5).kind == "none"
    assert machine.files() == []


def test_minutes_are_spread_over_half_a_day(tmp_path):
    whens = set()
    for number, draw in enumerate((0.0, 0.123, 0.999)):
        (tmp_path / str(number)).mkdir()
        machine = Machine(tmp_path / str(number), Path("/var/lib/portico"))
        machine.has("crond")
        whens.add(" ".join(machine.schedule.set("cron", draw).what.split()[:2]))
    assert whens == {"0 0,12", "28 1,13", "59 11,23"}


def test_a_users_own_crontab_keeps_its_other_lines(tmp_path):
    machine = Machine(tmp_path, Path("/srv/shop"), root=False)
    machine.has("crontab", CRONTAB)
    assert machine.schedule.entry().kind == "none"
    machine.table.write_text("MAILTO=x\n1 1 * * * something # portico-certs")
    for _ in range(2):
        entry = machine.schedule.set("cron", 0.25)
        assert (entry.where, entry.what.split()[:2]) == ("crontab", ["0", "3,15"])
        *others, line = machine.table.read_text().splitlines()
        assert others == ["MAILTO=x", "1 1 * * * something # portico-certs"]
        assert line == entry.what
    machine.schedule.set("none", 0)
    assert machine.table.read_text() == "MAILTO=x\n1 1 * * * something # portico-certs\n"


def test_a_crontab_that_cannot_be_read_is_not_written_anew(tmp_path):
    machine = Machine(tmp_path, Path("/srv/shop"), root=False)
    unreadable = 'echo "cannot open the spool: Permission denied" >&2; exit 1'
    machine.has("crontab", CRONTAB.replace('cat "$TABLE" 2>/dev/null', f"{{ {unreadable}; }}"))
    machine.table.write_text("1 1 * * * something\n")
    with pytest.raises(Failed, match="cannot read the crontab: cannot open the spool"):
        machine.schedule.set("cron", 0.25)
    assert machine.table.read_text() == "1 1 * * * something\n"


def test_the_line_runs_as_cron_runs_it_wherever_the_home_is(tmp_path):
    home = tmp_path / "it's 100% mine"
    machine = Machine(tmp_path, home)
    machine.has("cron")
    line = machine.schedule.set("cron", 0).what
    command = line.split(" root ", 1)[1].replace("\\%", "%")
    ran = subprocess.run(
        ["/bin/sh", "-c", command],
        env={"PATH": "/usr/bin:/bin", "HOME": "/root", "SHELL": "/bin/sh"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (3, "")
    assert f"no daemon is running in {home}" in ran.stderr


@pytest.mark.parametrize("home", ["/var/lib/portico", '/srv/a "folder" with 100% \\'])
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_timer(tmp_path, home):
    units = Machine(tmp_path, Path(home)).schedule.units()
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "verify", *(tmp_path / name for name in units)]
    verified = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    timer = units[next(name for name in units if name.endswith(".timer"))]
    assert "RandomizedDelaySec=12h\nPersistent=true\n" in timer


def test_going_over_from_cron_to_a_timer_leaves_one_entry(machine):
    machine.has("cron")
    machine.boots_systemd()
    machine.schedule.set("cron", 0)
    entry = machine.schedule.set("systemd", 0)
    assert (entry.kind, entry.what) == ("systemd", "portico-certs.timer")
    units = [f"etc/systemd/system/portico-certs.{kind}" for kind in ("service", "timer")]
    assert machine.files() == units
    assert machine.called == ["daemon-reload", "enable --now portico-certs.timer"]
    machine.schedule.set("cron", 0)
    assert machine.files() == ["etc/cron.d/portico-certs"]
    assert machine.called[2:] == ["disable --now portico-certs.timer", "daemon-reload"]


def test_a_user_has_a_timer_of_their_own_that_outlives_the_login(tmp_path):
    machine = Machine(tmp_path, Path("/srv/shop"), root=False)
    machine.boots_systemd()
    machine.environ["PATH"] = str(machine.programs)  # systemd looks at it only in a login
    entry = machine.schedule.set("systemd", 0)
    at = "home/x/.config/systemd/user/portico-certs@srv-shop.timer"
    assert entry.where == str(tmp_path / at)
    assert machine.called == [
        "--user daemon-reload",
        "--user enable --now portico-certs@srv-shop.timer",
        "enable-linger",
    ]


def test_an_entry_of_a_former_name_is_this_homes_only_and_gives_way(tmp_path):
    homes = [Path("/srv/a-b"), Path("/srv/a/b")]
    ours, others = [Machine(tmp_path / name, home) for name, home in zip("ab", homes, strict=True)]
    for machine in (ours, others):
        machine.has("cron")
        machine.boots_systemd()
    lines = [machine.schedule.set("cron", 0).what for machine in (ours, others)]
    former = ours.folder / "etc/cron.d/portico-srv-a-b-certs"
    for line, kept in zip(lines, ([], [former.name]), strict=True):
        former.write_text(line.rpartition("#")[0] + "# portico-srv-a-b-certs\n")
        ours.schedule.set("none", 0)
        assert [path.name for path in former.parent.iterdir()] == kept
    former.unlink()

    texts = [machine.schedule.units() for machine in (ours, others)]
    folder = ours.folder / "etc/systemd/system"
    folder.mkdir(parents=True)
    for text, kept in zip(texts, (0, 2), strict=True):
        for name in text:
            (folder / f"portico-srv-a-b-certs{Path(name).suffix}").write_text(text[name])
        ours.schedule.set("cron", 0)
        assert len([*folder.iterdir()]) == kept


def test_a_timer_that_systemd_refuses_leaves_everything_as_it_was(machine):
    machine.has("cron")
    machine.boots_systemd()
    before = machine.schedule.set("cron", 0)
    machine.environ["FAIL"] = "enable"
    with pytest.raises(Failed, match="enable --now"):
        machine.schedule.set("systemd", 0)
    assert machine.schedule.entry() == before
    assert machine.files() == ["etc/cron.d/portico-certs"]


def test_a_machine_without_the_one_is_told_of_the_other(machine):
    with pytest.raises(Refused, match="systemd is not the init of this machine; nothing was"):
        machine.schedule.set("systemd", 0)
    with pytest.raises(Refused, match="cron is not installed; nothing was changed"):
        machine.schedule.set("cron", 0)
    assert machine.schedule.entry().kind == "none"


def test_the_command_shows_what_is_scheduled(tmp_path):
    def portico(*words):
        return run_here(["--home", str(tmp_path), "certs", *words], os.environ, tmp_path, 60)

    shown = portico("schedule", "--json")
    assert json.loads(shown.stdout) == {"kind": "none", "where": "", "what": ""}
    assert "the daemon renews by itself" in portico("schedule", "--none").stdout
    both = portico("schedule", "--cron", "--systemd")
    assert (both.returncode, "one of --cron" in both.stderr) == (2, True)
