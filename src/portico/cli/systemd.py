"""The systemd unit that brings porticod back after a boot, and with it everything that ran."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.system.home import Home

UNIT: Final = """\
# Written by `portico startup`; `portico unstartup` removes it.
[Unit]
Description=Portico in {home}
Wants=network-online.target
After=network-online.target nss-lookup.target
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

# Only the daemon is stopped and started anew: instances and nginx go on meanwhile, and the next
# daemon adopts them. `portico down` ends everything.
KillMode=process
SendSIGKILL=no
Delegate=yes
OOMPolicy=continue
LimitNOFILE=1048576
TasksMax=infinity

# Instances inherit what is set here: only what no web program needs is taken away.
LockPersonality=yes
ProtectClock=yes
ProtectControlGroups=no
ProtectKernelLogs=yes
ProtectKernelModules=yes
RestrictRealtime=yes
SystemCallArchitectures=native

[Install]
WantedBy={target}
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit a home: `portico.service` for the usual one."""

    name: str
    path: Path
    text: str
    user: bool
    """A unit of the user's own systemd, not of the system's."""

    def systemctl(self, *words: str) -> list[str]:
        return ["systemctl", *(["--user"] if self.user else []), *words]


def unit_for(home: Home, *, root: bool, usual: bool, user_folder: Path) -> Unit:
    """`usual` says that the home is the one found without PORTICO_HOME."""
    name = "portico.service" if usual else f"portico-{_slug(home.path)}.service"
    folder = Path("/etc/systemd/system") if root else user_folder
    program = shlex.join([sys.executable, "-P", "-m", "portico.daemon.main"])
    text = UNIT.format(
        home=home.path,
        program=program.replace("%", "%%"),
        environment=f'"PORTICO_HOME={home.path}"'.replace("%", "%%"),
        target="multi-user.target" if root else "default.target",
    )
    return Unit(name, folder / name, text, user=not root)


def _slug(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", str(path)).strip("-")
