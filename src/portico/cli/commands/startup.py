"""`portico startup`: brings everything back after a boot."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Final

from portico.cli.arguments import Parser
from portico.cli.session import Session
from portico.cli.systemd import Unit, unit_for
from portico.client.leaving import make_leave
from portico.errors import Failed, Refused
from portico.system.home import Home

DEADLINE: Final = 60.0
RUNS: Final = Path("/run/systemd/system")
"""There as long as systemd is this machine's init: sd_booted(3)."""


def options(parser: Parser) -> None:
    parser.add_argument("--print", action="store_true", help="print the unit, install nothing")


def run(session: Session, args: Namespace) -> None:
    unit = unit_of(session)
    if args.print:
        session.terminal.say(unit.text.rstrip())
        return
    if not RUNS.exists():
        raise Refused(
            "cannot install a unit: systemd is not the init of this machine; nothing was "
            "changed. Let its own init run this at every boot: "
            f"PORTICO_HOME={session.home.path} porticod"
        )
    _verify(unit)
    unit.path.parent.mkdir(parents=True, exist_ok=True)
    _write(unit.path, unit.text)
    call(unit.systemctl("daemon-reload"))
    _hand_over(session, unit)
    session.terminal.say(f"{unit.path}: everything that runs now is back after a boot")


def unit_of(session: Session) -> Unit:
    root = os.geteuid() == 0
    usual = Home.find({**session.environ, "PORTICO_HOME": ""}, root=root)
    config = session.environ.get("XDG_CONFIG_HOME") or f"{session.environ.get('HOME')}/.config"
    return unit_for(
        session.home,
        root=root,
        usual=usual.path == session.home.path,
        user_folder=Path(config) / "systemd" / "user",
    )


def _verify(unit: Unit) -> None:
    """Ask systemd itself, before anything is put in place."""
    if shutil.which("systemd-analyze") is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / unit.name
        draft.write_text(unit.text)
        call(["systemd-analyze", *(["--user"] if unit.user else []), "verify", str(draft)])


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _hand_over(session: Session, unit: Unit) -> None:
    """The daemon that runs now leaves; the unit's adopts what it looked after."""
    if unit.user:
        call(["loginctl", "enable-linger"])
    make_leave(session.client(start=True))
    call(unit.systemctl("enable", "--now", unit.name))


def call(command: list[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own words, no shell
            command, capture_output=True, text=True, timeout=DEADLINE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"cannot run {' '.join(command)}: {error}") from None
    if done.returncode != 0:
        told = (done.stderr or done.stdout).strip()
        raise Failed(f"`{' '.join(command)}` failed: {told}; what runs goes on running")
