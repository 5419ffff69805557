"""Puts the daemon of this program in the place of another one, which may be of another version.

What the daemon looked after goes on meanwhile, and the new one adopts it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from portico import __version__
from portico.client.client import Client
from portico.client.connect import DAEMON, START_TIMEOUT, FindUnit, connect, start_unit
from portico.client.stopping import mode_of, stop_daemon
from portico.client.systemd import installed_unit
from portico.core.model import verbs
from portico.errors import Failed
from portico.system.commands import run_tool
from portico.system.home import Home


def is_newer(version: str, than: str) -> bool:
    """Whether a version is later than another: `0.10.0` than `0.9.2`."""
    return _numbers(version) > _numbers(than)


def replace_daemon(
    home: Home,
    environ: Mapping[str, str],
    client: Client,
    *,
    program: Sequence[str] = DAEMON,
    find_unit: FindUnit = installed_unit,
) -> Client:
    """Have the daemon leave and a new one start, through systemd where that looks after it.

    Refused where the daemon runs in the foreground. Failed when the new one could not look after
    this home, which is asked first, or does not come up; instances and nginx serve on in any case.
    """
    _check(program, home, environ)
    unit = find_unit(home, environ)
    if unit and mode_of(client.ask(verbs.STATUS).daemon) == "unit":
        if not unit.is_in_place():  # it names the program of another version
            unit.install()
        start_unit(unit, client, "restart")
    else:
        stop_daemon(client)
        connect(home, environ, start=True, program=program, find_unit=find_unit)
    if (version := client.ask(verbs.VERSION).version) != __version__:
        raise Failed(
            f"the restarted daemon is porticod {version}, not {__version__}: its unit or init "
            "starts another program. Apps keep running"
        )
    return client


def _check(program: Sequence[str], home: Home, environ: Mapping[str, str]) -> None:
    command = [*program, "--check"]
    done = run_tool(command, {**environ, "PORTICO_HOME": str(home.path)}, seconds=START_TIMEOUT)
    if done.returncode != 0:
        output = (done.stderr or done.stdout).strip().removeprefix("porticod: ")
        raise Failed(
            f"porticod {__version__} cannot replace the daemon; it keeps running: {output}"
        )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]
