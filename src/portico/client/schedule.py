"""The one entry of cron or systemd that runs `portico certs renew`, for those who want one."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from portico.client.systemd import (
    COMMAND_TIMEOUT,
    SYSTEMD_FOLDER,
    call,
    former_name,
    name_of,
    quote,
    unit_of,
    verify,
)
from portico.errors import Failed, Refused
from portico.system import files
from portico.system.commands import run_tool
from portico.system.home import Home
from portico.system.programs import SEARCH_PATH

Kind = Literal["none", "cron", "systemd"]

_NO_CRONTAB: Final = ("no crontab", "No such file")
"""What crontab -l says where a user has none: that of Debian and cronie, and that of busybox."""
_RENEW: Final = (sys.executable, "-P", "-m", "portico.cli.main", "certs", "renew", "--quiet")
_HEADER: Final = "# Written by `portico certs schedule`; its --none removes it.\n"
_SERVICE: Final = (
    _HEADER
    + """\
[Unit]
Description=Renew the certificates of Portico ({home})
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart={program}
Environment={environment}

# A daemon that it starts, and that daemon's apps, keep running when it exits.
KillMode=process
SendSIGKILL=no
OOMPolicy=continue
LimitNOFILE=1048576
TasksMax=infinity
"""
)
_TIMER: Final = (
    _HEADER
    + """\
[Unit]
Description=Renew the certificates of Portico in {home}, twice a day

[Timer]
OnCalendar=*-*-* 00,12:00:00
RandomizedDelaySec=12h
Persistent=true

[Install]
WantedBy=timers.target
"""
)


@dataclass(frozen=True, slots=True)
class Entry:
    kind: Kind
    where: str = ""
    """A file, or `crontab` for the user's own."""
    what: str = ""
    """The line, or the name of the timer."""


class Schedule:
    """Of one home. `at` is the folder that the system's own are in."""

    def __init__(
        self,
        home: Home,
        environ: Mapping[str, str],
        *,
        at: Path = Path("/"),
        root: bool | None = None,
        former: str = "",
    ) -> None:
        """`former` is a name that an earlier Portico gave it, and to that of other homes too."""
        self._home, self._environ = home, environ
        self._root = os.geteuid() == 0 if root is None else root
        self._name = former or name_of(home, environ, root=self._root, of="certs")
        self._in_cron = re.sub(r"[^A-Za-z0-9-]", lambda c: f"_{ord(c[0]):02x}", self._name)
        """cron passes over files that have other characters in their names."""
        self._is_former = bool(former)
        self._former = (
            None
            if former
            else Schedule(home, environ, at=at, root=root, former=f"{former_name(home)}-certs")
        )
        unit = unit_of(home, environ, root=self._root)
        self._units = at / unit.path.parent.relative_to("/")
        self._cron_folder = at / "etc/cron.d"
        self._booted = at / SYSTEMD_FOLDER.relative_to("/")

    def entry(self) -> Entry:
        """What is installed; of two, which somebody else has made, the timer."""
        if self._has_timer():
            return Entry("systemd", str(self._timer), self._timer.name)
        where = str(self._cron_file) if self._root else "crontab"
        if line := self._line():
            return Entry("cron", where, line)
        return self._former.entry() if self._former else Entry("none")

    def set(self, kind: Kind, random_fraction: float) -> Entry:
        """Install this one, then remove the other. A line that is there already keeps its hour
        and minute; else they are chosen by `random_fraction`, a number in [0, 1).
        """
        if kind == "cron":
            self._add_line(random_fraction)
        elif kind == "systemd":
            self._add_timer()
        if kind != "systemd":
            self._drop_timer()
        if kind != "cron":
            self._drop_line()
        if self._former and self._former.entry().kind != "none":
            self._former.set("none", random_fraction)
        return self.entry()

    # cron

    @property
    def _cron_file(self) -> Path:
        return self._cron_folder / self._in_cron

    def _line(self) -> str:
        lines = self._crontab().splitlines()
        return next((each for each in lines if self._is_ours(each)), "")

    def _is_ours(self, line: str) -> bool:
        of_this_home = not self._is_former or self._home_in_cron in line
        return line.endswith(f"# {self._in_cron}") and of_this_home

    @property
    def _home_in_cron(self) -> str:
        return shlex.quote(f"PORTICO_HOME={self._home.path}").replace("%", "\\%")

    def _add_line(self, random_fraction: float) -> None:
        minute = int(random_fraction * 12 * 60)
        when = f"{minute % 60} {minute // 60},{minute // 60 + 12} * * *"
        if before := self._line():
            when = " ".join(before.split()[:5])
        renew = shlex.join(_RENEW).replace("%", "\\%")
        command = f"env PATH={SEARCH_PATH} {self._home_in_cron} {renew}"
        if not command.isprintable():
            raise Refused(
                f"cannot write {command!a} into a crontab: it has unprintable characters"
            )
        if not self._has_cron():
            raise Refused(
                "cannot install a cron job: cron is not installed; nothing was changed. With "
                "systemd, use `portico certs schedule --systemd`"
            )
        if self._root:
            line = f"{when} root {command} # {self._in_cron}\n"
            self._cron_folder.mkdir(parents=True, exist_ok=True)
            files.write(self._cron_file, _HEADER + line, 0o644)
            self._cron_file.chmod(0o644)  # cron passes over what others may write
        else:
            self._put_crontab(f"{self._other_lines()}{when} {command} # {self._in_cron}\n")

    def _drop_line(self) -> None:
        if self._root:
            if self._line() or not self._is_former:
                self._cron_file.unlink(missing_ok=True)
            return
        if (lines := self._other_lines()) != self._crontab():
            self._put_crontab(lines)

    def _other_lines(self) -> str:
        lines = self._crontab().split("\n")[:-1]  # a form feed in one ends none
        return "".join(f"{each}\n" for each in lines if not self._is_ours(each))

    def _crontab(self) -> str:
        """The file of ours for root, the user's own for others; each line with its end."""
        if self._root:
            there = self._cron_file.read_bytes() if self._cron_file.exists() else b""
            return there.decode(errors="surrogateescape")
        if not shutil.which("crontab", path=self._environ.get("PATH")):
            return ""
        done = self._run_crontab("-l")
        if done.returncode != 0:
            output = done.stderr.strip()
            if not any(none in output for none in _NO_CRONTAB):  # else what is there would be lost
                raise Failed(f"cannot read the crontab: {output}; nothing was changed")
            return ""
        text = done.stdout
        return text if not text or text.endswith("\n") else f"{text}\n"

    def _put_crontab(self, text: str) -> None:
        done = self._run_crontab("-", text=text)
        if done.returncode != 0:
            raise Failed(f"cannot write the crontab: {done.stderr.strip()}; it is unchanged")

    def _run_crontab(self, word: str, text: str = "") -> subprocess.CompletedProcess[str]:
        environ = {**self._environ, "LC_ALL": "C"}  # its words are read
        return run_tool(["crontab", word], environ, seconds=COMMAND_TIMEOUT, text=text)

    def _has_cron(self) -> bool:
        path = f"{self._environ.get('PATH', '')}:/usr/sbin:/sbin"
        names = ("cron", "crond", "crontab") if self._root else ("crontab",)
        return any(shutil.which(each, path=path) for each in names)

    # systemd

    @property
    def _timer(self) -> Path:
        return self._units / f"{self._name}.timer"

    def _has_timer(self) -> bool:
        if not self._timer.exists() or not self._is_former:
            return self._timer.exists()
        service = self._timer.with_suffix(".service")
        return service.exists() and self._home_in_systemd in service.read_text()

    @property
    def _home_in_systemd(self) -> str:
        return quote(f"PORTICO_HOME={self._home.path}")

    def _add_timer(self) -> None:
        if not self._booted.exists():
            raise Refused(
                "cannot install a timer: systemd is not the init of this machine; nothing was "
                "changed. Use `portico certs schedule --cron`"
            )
        texts = self.units()
        verify(texts, self._environ, user=not self._root)
        self._units.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            files.write(self._units / name, text, 0o644)
        try:
            self._systemctl("daemon-reload")
            self._systemctl("enable", "--now", self._timer.name)
            if not self._root:
                call(["loginctl", "enable-linger"], self._environ)
        except Failed:
            for name in texts:
                (self._units / name).unlink()
            raise

    def units(self) -> dict[str, str]:
        """The files of systemd, by name."""
        home = str(self._home.path).replace("%", "%%")
        service = _SERVICE.format(
            home=home,
            program=quote(*_RENEW),
            environment=self._home_in_systemd,
        )
        timer = _TIMER.format(home=home)
        return {f"{self._name}.service": service, self._timer.name: timer}

    def _drop_timer(self) -> None:
        files = [each for name in self.units() if (each := self._units / name).exists()]
        if not files or (self._is_former and not self._has_timer()):
            return
        if self._booted.exists():
            self._systemctl("disable", "--now", self._timer.name)
        for each in files:
            each.unlink()
        if self._booted.exists():
            self._systemctl("daemon-reload")

    def _systemctl(self, *words: str) -> None:
        options = [] if self._root else ["--user"]
        call(["systemctl", *options, *words], self._environ)
