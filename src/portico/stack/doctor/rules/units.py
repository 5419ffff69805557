"""Units of systemd that run a program of the operator's: systemd.service(5), systemd.exec(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from portico.stack.doctor.rule import Example, Facts, Fault, rule
from portico.stack.model import Place, Setting, UnitFile

_UNIT: Final = """\
[Unit]
Description=Shop

[Service]
ExecStart=/usr/bin/node /srv/shop/index.js
{lines}
[Install]
WantedBy=multi-user.target
"""
_SOUND_SERVICE: Final = "User=shop\nRestart=on-failure\nRestartSec=3\n"
_SERVERS: Final = re.compile(
    r"\b(nginx|caddy|haproxy|apache2?|httpd|traefik|dockerd?|containerd|podman|sshd|portico\w*)\b"
)
"""Programs that need the rights of root at their start, and give them up."""
_SECRET: Final = re.compile(
    r"\b(?P<name>[A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|TOKEN)[A-Z0-9_]*)"
    r"=(?P<value>[^\s\"'%$]+)"
)
_MIN_RESTART_DELAY: Final = 2.0
"""Seconds of RestartSec below which 5 starts are within the 10 s of StartLimitIntervalSec."""


def _unit(lines: str) -> dict[str, str]:
    return {"shop.service": _UNIT.format(lines=lines)}


def _example(before: str, after: str) -> Example:
    return Example(_unit(before), _unit(after))


def _services(facts: Facts) -> Iterator[UnitFile]:
    """Those that run all the time and are started at boot."""
    for unit in facts.stack.units:
        kind = unit.last("Service", "Type") or "simple"
        starts = unit.all("Service", "ExecStart")
        if starts and kind not in {"oneshot", "dbus"} and unit.all("Install", "WantedBy"):
            yield unit


def _place(unit: UnitFile, key: str) -> Place:
    """Of the last line with that key, else of the command."""
    found = unit.all("Service", key) or unit.all("Service", "ExecStart")
    return found[-1].place


@rule(
    "unit-without-restart",
    "warning",
    "A unit whose program is not started again",
    why="systemd starts a program that crashed again only where `Restart=` says so. After the "
    "first crash the site answers 502 until an operator comes.",
    fix="Write `Restart=on-failure` (or `always`) and `RestartSec=3`.",
    example=_example("User=shop\n", _SOUND_SERVICE),
)
def without_restart(facts: Facts) -> Iterator[Fault]:
    for unit in _services(facts):
        if unit.last("Service", "Restart") in {"", "no"}:
            yield _place(unit, "Restart"), "Restart= is not set, so a crash is the end of it"


@rule(
    "unit-gives-up",
    "advice",
    "A unit that is not started again after five quick crashes",
    why="By default systemd waits 0.1 s before a restart and gives up after 5 starts in 10 s: a "
    "database that is away for a second leaves the program stopped for good.",
    fix="Write `RestartSec=3`, or `StartLimitIntervalSec=0` in `[Unit]`.",
    example=_example("User=shop\nRestart=always\n", _SOUND_SERVICE),
)
def gives_up(facts: Facts) -> Iterator[Fault]:
    for unit in _services(facts):
        restarts = unit.last("Service", "Restart") not in {"", "no"}
        limits = ("StartLimitIntervalSec", "StartLimitBurst", "StartLimitInterval")
        is_set = any(unit.all(section, key) for section in ("Unit", "Service") for key in limits)
        if (
            restarts
            and not is_set
            and _seconds(unit.last("Service", "RestartSec")) < _MIN_RESTART_DELAY
        ):
            yield _place(unit, "Restart"), "systemd gives up after 5 starts in 10 s"


def _seconds(text: str) -> float:
    """Of a plain number, or one with a unit; a time that is none is long enough."""
    found = re.fullmatch(r"([0-9.]+)\s*(ms|s|sec|)", text or "0.1")
    if found is None:
        return _MIN_RESTART_DELAY
    return float(found[1]) / (1000 if found[2] == "ms" else 1)


@rule(
    "unit-as-root",
    "warning",
    "A unit that runs its program as root",
    why="A hole in the program, or in one of its packages, opens the whole machine.",
    fix="Write `User=` with a user of its own, or `DynamicUser=yes`.",
    example=_example("Restart=on-failure\nRestartSec=3\n", _SOUND_SERVICE),
)
def as_root(facts: Facts) -> Iterator[Fault]:
    for unit in _services(facts):
        is_dynamic = unit.last("Service", "DynamicUser") in {"yes", "true", "1", "on"}
        commands = " ".join(each.value for each in unit.all("Service", "ExecStart"))
        is_users = "/systemd/user/" in unit.path or "default.target" in unit.last(
            "Install", "WantedBy"
        )
        if is_dynamic or is_users or _SERVERS.search(commands):
            continue
        user = unit.last("Service", "User")
        if user in {"", "root", "0"}:
            said = f"User={user}" if user else "User= is not set"
            yield _place(unit, "User"), f"{said}: the program has the rights of root"


@rule(
    "secret-in-unit",
    "warning",
    "A password or key in `Environment=`",
    why="Every user of the machine can read it: unit files are readable by all, and so is what "
    "`systemctl show` prints.",
    fix="Write it to a file of mode 0600, and name that file with `EnvironmentFile=`.",
    example=_example(
        f"{_SOUND_SERVICE}Environment=DB_PASSWORD=hunter2\n",
        f"{_SOUND_SERVICE}EnvironmentFile=/etc/shop/secrets.env\n",
    ),
)
def secret(facts: Facts) -> Iterator[Fault]:
    for unit in facts.stack.units:
        for each in unit.all("Service", "Environment"):
            yield from _secrets(each)


def _secrets(setting: Setting) -> Iterator[Fault]:
    for found in _SECRET.finditer(setting.value):
        if not found["value"].startswith("/"):  # the path of a file
            yield setting.place, f"{found['name']} has a value that every user can read"
