"""Finds the daemon of a home, and starts one where none answers."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from portico.client.client import Client
from portico.errors import Failed, Unreachable
from portico.system.home import ALREADY_SERVED_CODE, Home
from portico.system.ownership import assert_talks_to_owner
from portico.system.waiting import wait_for

if TYPE_CHECKING:
    from portico.client.systemd import Unit

# -P keeps the folder that `portico` was typed in off the path: its json.py is not ours to run
DAEMON: Final = (sys.executable, "-P", "-m", "portico.daemon.main")
START_TIMEOUT: Final = 90.0
"""Seconds for a program that has begun, on a busy machine too; as systemd's TimeoutStartSec."""
FindUnit = Callable[[Home, Mapping[str, str]], "Unit | None"]
"""Which unit of systemd starts the daemon of a home, if one does."""
_TAIL = 15  # lines of the daemon's log in an error


def connect(
    home: Home,
    environ: Mapping[str, str],
    *,
    start: bool = False,
    program: Sequence[str] = DAEMON,
    find_unit: FindUnit | None = None,
) -> Client:
    """A client of the daemon that answers in this home.

    Where none does it is started if `start`, or if the home remembers something: then the new
    daemon adopts what still runs. Otherwise Unreachable. Failed when it does not come up. Where
    the home has a unit, systemd starts it. Refused where others could write in the home.
    """
    assert_talks_to_owner(home.path)

    def revive() -> None:
        if not start and not home.database.exists():
            raise Unreachable(f"no daemon is running in {home.path}; start with `portico up`")
        home.assert_no_copy()
        if unit := (find_unit or _find_unit)(home, environ):
            start_unit(unit, client)
        else:
            _start(home, environ, program, client)

    client = Client(home.socket, revive)
    if not client.answers():
        revive()
    return client


def _find_unit(home: Home, environ: Mapping[str, str]) -> Unit | None:
    from portico.client.systemd import installed_unit  # noqa: PLC0415 - only a start pays for it

    return installed_unit(home, environ)


def start_unit(unit: Unit, client: Client, word: Literal["start", "restart"] = "start") -> None:
    unit.systemctl(word, unit.name)
    if not wait_for(client.answers, START_TIMEOUT):
        raise Failed(
            f"systemd started {unit.name}, but no daemon answered within {START_TIMEOUT:g} s; see "
            f"`systemctl status {unit.name}`"
        )


def _start(home: Home, environ: Mapping[str, str], program: Sequence[str], client: Client) -> None:
    from portico.core.planning.environment import MARKS  # noqa: PLC0415 - only a start pays for it

    log = home.daemon_log
    try:
        home.make()
        log_start = log.stat().st_size if log.exists() else 0
        # By them the processes of an instance are known, and one of it may have called us.
        kept = {name: value for name, value in environ.items() if name not in MARKS}
        pid = _spawn(program, {**kept, "PORTICO_HOME": str(home.path)}, log)
    except PermissionError as error:
        raise Failed(
            f"cannot write {error.filename or home.path}: permission denied; set PORTICO_HOME to "
            "a folder of this user"
        ) from None
    except OSError as error:
        raise Failed(f"cannot start the daemon in {home.path}: {error}") from None
    started = _StartedDaemon(pid, client)
    if not wait_for(started, START_TIMEOUT) or started.gone:
        raise Failed(_failure(pid, log, log_start, gone=started.gone))


def _spawn(program: Sequence[str], environ: Mapping[str, str], log: Path) -> int:
    """Start the daemon in a session of its own, so that it outlives this terminal."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        os.close(os.open(log, flags, 0o600))
        output = str(log)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        output = os.devnull  # a daemon without a log can stop what fills the disk
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(program[0], list(program), environ, file_actions=files, setsid=True)


class _StartedDaemon:
    """Whether a daemon answers, or the new one has failed: waiting is over either way."""

    def __init__(self, pid: int, client: Client) -> None:
        self._pid, self._client = pid, client
        self._code: int | None = None
        self.gone = False

    def __call__(self) -> bool:
        if self._code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        answered = self._client.answers()
        # one that left because another daemon was quicker: that one is about to answer
        self.gone = not answered and self._code not in {None, ALREADY_SERVED_CODE}
        return answered or self.gone


def _failure(pid: int, log: Path, log_start: int, *, gone: bool) -> str:
    with log.open("rb") if log.exists() else io.BytesIO() as file:
        file.seek(log_start)
        lines = file.read().decode(errors="replace").splitlines()[-_TAIL:]
    what = (
        "exited immediately" if gone else f"(pid {pid}) did not answer within {START_TIMEOUT:g} s"
    )
    output = "\n  ".join((":", *lines)) if lines else f"; nothing in {log}"
    return f"cannot start the daemon: it {what}{output}"
