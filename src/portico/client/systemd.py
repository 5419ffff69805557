"""The systemd unit that brings porticod back after a boot, and with it everything that ran."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_letters, digits
from typing import Final

from portico.errors import Failed, Refused
from portico.system import files
from portico.system.commands import run_tool
from portico.system.home import Home
from portico.system.launcher import ADDRESS

SYSTEMD_FOLDER: Final = Path("/run/systemd/system")
"""There as long as systemd is this machine's init: sd_booted(3)."""
COMMAND_TIMEOUT: Final = 120.0
"""Seconds for one call; a start waits until the daemon is ready, for at most 90."""

MAX_ESCAPED_LENGTH: Final = 200
"""Of the 255 characters that the name of a unit may have."""
_PLAIN_BYTES: Final = frozenset(f"{ascii_letters}{digits}:_.".encode())

OUTLIVED_LINES: Final = """\
KillMode=process
SendSIGKILL=no
Delegate=yes
OOMPolicy=continue
LimitNOFILE=1048576
TasksMax=infinity"""
"""Of a unit whose end is that of its main process alone: what it has started goes on."""

DAEMON: Final = """\
# Written by `portico startup`; `portico unstartup` removes it.
[Unit]
Description=Portico ({home})
Wants=network-online.target{launcher_unit}
After=network-online.target nss-lookup.target{launcher_unit}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={program}
Environment={environment}
Restart=always
RestartSec=1
RestartPreventExitStatus=4
WatchdogSec=60
TimeoutStartSec=90
TimeoutStopSec=30

# Only the daemon is restarted: instances and nginx keep running, and the next daemon adopts them.
# `portico down` stops everything.
{outlived}
{rights}
[Install]
WantedBy={target}
"""

SYSTEM_RIGHTS: Final = """
# What the daemon never needs. Programs are not affected, because {launcher} starts them.
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_SETGID CAP_SETUID CAP_SYS_PTRACE
KeyringMode=private
LockPersonality=yes
NoNewPrivileges=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
"""

USER_RIGHTS: Final = """
# Instances inherit what is set here: only what no web program needs is taken away.
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
"""
"""A user has no rights that a program of his could be given and the daemon not."""

LAUNCHER: Final = """\
# Written by `portico startup`; `portico unstartup` removes it.
[Unit]
Description=Programs of Portico ({home})
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={program}
Environment={environment}
Restart=always
RestartSec=1

# It starts instances, nginx and hooks with all that they may need, and they outlive it.
{outlived}
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit a home: `portico.service`, or `portico@srv-shop.service` for another home."""

    name: str
    path: Path
    text: str
    environ: Mapping[str, str]
    user: bool
    """A unit of the user's own systemd, not of the system's."""
    launcher: Unit | None = None
    """The one beside it, which starts programs for a daemon whose rights are cut."""

    def systemctl(self, *words: str) -> None:
        """Raises Failed, in systemd's words."""
        call(["systemctl", *(["--user"] if self.user else []), *words], self.environ)

    def keep_after_logout(self) -> None:
        if self.user:
            call(["loginctl", "enable-linger"], self.environ)

    def install(self) -> None:
        """Write it where systemd looks, once systemd itself has found nothing wrong with it."""
        units = [self.launcher, self] if self.launcher else [self]
        verify({unit.name: unit.text for unit in units}, self.environ, user=self.user)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for unit in units:
            files.write(unit.path, unit.text, 0o644)
        self.systemctl("daemon-reload")

    def is_in_place(self) -> bool:
        """Whether what is there is what this program would write."""
        units = [self.launcher, self] if self.launcher else [self]
        return all(unit.path.exists() and unit.path.read_text() == unit.text for unit in units)

    def remove(self) -> None:
        """Take it away; what it has started goes on."""
        if SYSTEMD_FOLDER.exists():
            self.systemctl("disable", "--now", self.name)
        self.path.unlink(missing_ok=True)
        if self.launcher and self.launcher.path.exists():
            if SYSTEMD_FOLDER.exists():
                self.systemctl("stop", self.launcher.name)
            self.launcher.path.unlink()
        if SYSTEMD_FOLDER.exists():
            self.systemctl("daemon-reload")


def unit_of(home: Home, environ: Mapping[str, str], *, root: bool | None = None) -> Unit:
    """The unit that this home would have."""
    root = os.geteuid() == 0 if root is None else root
    names = [name_of(home, environ, root=root, of=of) for of in ("", "programs")]
    return _unit(home, environ, *names, root=root)


def former_unit(
    home: Home, environ: Mapping[str, str], *, root: bool | None = None
) -> Unit | None:
    """The unit that this home has from an earlier Portico, under a name that others could have."""
    root = os.geteuid() == 0 if root is None else root
    name = former_name(home)
    unit = _unit(home, environ, name, f"{name}-programs", root=root)
    its = quote(f"PORTICO_HOME={home.path}")
    return unit if unit.path.exists() and its in unit.path.read_text() else None


def name_of(home: Home, environ: Mapping[str, str], *, root: bool, of: str = "") -> str:
    """Of a unit: `portico`, or `portico@srv-shop` of a home that is not the usual one. That of
    another unit beside it, `of` what, is `portico-certs` or `portico-certs@srv-shop`.
    """
    kind = f"portico-{of}" if of else "portico"
    return kind if Home.default(environ, root=root) == home else f"{kind}@{_escape(home.path)}"


def former_name(home: Home) -> str:
    """Of the unit of a home that is not the usual one, until 0.1: `/a/b` and `/a-b` had one."""
    return f"portico-{re.sub(r'[^A-Za-z0-9]+', '-', str(home.path)).strip('-')}"


def _escape(path: Path) -> str:
    """As `systemd-escape --path` writes it (systemd.unit(5)); what is too long is cut, with a
    number that belongs to it, as systemd does that.
    """
    raw = os.fsencode(path)
    escaped = "".join(map(_escaped_octet, raw.strip(b"/"))) or "-"
    escaped = escaped.replace(".", r"\x2e", 1) if escaped[0] == "." else escaped
    if len(escaped) > MAX_ESCAPED_LENGTH:
        escaped = f"{escaped[:MAX_ESCAPED_LENGTH]}_{hashlib.sha256(raw).hexdigest()[:16]}"
    return escaped


def _escaped_octet(octet: int) -> str:
    if octet == ord("/"):
        return "-"
    return chr(octet) if octet in _PLAIN_BYTES else rf"\x{octet:02x}"


def _unit(home: Home, environ: Mapping[str, str], stem: str, programs: str, *, root: bool) -> Unit:
    name = f"{stem}.service"
    config = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME')}/.config"
    folder = Path("/etc/systemd/system") if root else Path(config) / "systemd" / "user"
    launcher = _launcher(home, f"{programs}.service", folder, environ) if root else None
    variables = {"PORTICO_HOME": home.path} | ({ADDRESS: home.launch} if root else {})
    text = DAEMON.format(
        home=str(home.path).replace("%", "%%"),
        program=_program("portico.daemon.main"),
        outlived=OUTLIVED_LINES,
        environment=_environment(variables),
        launcher_unit=f" {launcher.name}" if launcher else "",
        rights=SYSTEM_RIGHTS.format(launcher=launcher.name) if launcher else USER_RIGHTS,
        target="multi-user.target" if root else "default.target",
    )
    return Unit(name, folder / name, text, environ, user=not root, launcher=launcher)


def _launcher(home: Home, name: str, folder: Path, environ: Mapping[str, str]) -> Unit:
    text = LAUNCHER.format(
        home=str(home.path).replace("%", "%%"),
        program=_program("portico.system.launcher"),
        outlived=OUTLIVED_LINES,
        environment=_environment({"PORTICO_HOME": home.path}),
    )
    return Unit(name, folder / name, text, environ, user=False)


def _program(module: str) -> str:
    return quote(sys.executable, "-P", "-m", module)


def _environment(variables: Mapping[str, object]) -> str:
    return quote(*(f"{name}={value}" for name, value in variables.items()))


def installed_unit(
    home: Home,
    environ: Mapping[str, str],
    *,
    booted: Path = SYSTEMD_FOLDER,
    root: bool | None = None,
) -> Unit | None:
    """The unit that starts and keeps the daemon of this home, if systemd runs and has one."""
    unit = former_unit(home, environ, root=root) or unit_of(home, environ, root=root)
    return unit if booted.exists() and unit.path.exists() else None


def verify(units: Mapping[str, str], environ: Mapping[str, str], *, user: bool) -> None:
    """Have systemd look at units, by name, where it has its program for that. Raises Failed."""
    if not shutil.which("systemd-analyze", path=environ.get("PATH")):
        return
    with tempfile.TemporaryDirectory() as folder:
        drafts = [Path(folder) / name for name in units]
        for draft in drafts:
            draft.write_text(units[draft.name])
        options = ["--user"] if user else []
        call(["systemd-analyze", *options, "verify", *map(str, drafts)], environ)


def quote(*words: str) -> str:
    """Words of a unit, each of which systemd takes as it is: systemd.syntax(7). None has a `$`
    that is to stay, but for the path of a program, which systemd looks for no variable in.

    Refused where one has a newline, which would end the line, or another such character.
    """
    for word in words:
        if not word.isprintable():
            raise Refused(f"cannot write {word!a} into a unit: it has unprintable characters")
    escaped = (w.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") for w in words)
    return " ".join(f'"{word}"' for word in escaped)


def call(command: Sequence[str], environ: Mapping[str, str]) -> None:
    done = run_tool(command, environ, seconds=COMMAND_TIMEOUT)
    if done.returncode != 0:
        output = (done.stderr or done.stdout).strip()
        raise Failed(f"`{' '.join(command)}` failed: {output}; running apps are unaffected")
