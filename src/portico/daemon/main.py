"""`porticod`: one daemon a PORTICO_HOME. Started by the first `portico` command, or by hand."""

from __future__ import annotations

import gc

if __name__ == "__main__":
    gc.disable()  # what is imported stays: looking through it is a fifteenth of the start

import asyncio
import fcntl
import logging
import logging.handlers
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from portico import __version__
from portico.adapters.state.database import assert_usable
from portico.daemon.deaths import Deaths
from portico.daemon.foreground import run_in_foreground
from portico.daemon.life import DaemonProcess, run_daemon, stop_when_idle
from portico.daemon.machine import Mode
from portico.daemon.wiring import Portico
from portico.errors import PorticoError
from portico.system.clock import SystemClock
from portico.system.home import ALREADY_SERVED_CODE, Home
from portico.system.memory import limit_arenas
from portico.system.notify import Notify
from portico.system.ownership import assert_own
from portico.system.printable import printable
from portico.system.waiting import wait_for

LOG_SIZE: Final = 5 << 20
LOGS_KEPT: Final = 3
LOCK_TIMEOUT: Final = 5.0
LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_RESTARTS: Final = 5
"""So often in a row the daemon begins anew by itself; the last times in safe mode."""
RESTART_PAUSE: Final = 0.5
SWITCH_INTERVAL: Final = 0.0005
"""Seconds after which a thread that reads /proc lets the loop have the interpreter; 5 ms, as
Python has it, are long for a loop that waits for it at every turn.
"""
AUTOGROUP_NICE: Final = -15
"""Of the daemon's session, where the kernel shares the processors by session (sched(7)). Each
program has a session of its own, so a thousand that start at once leave the daemon its share.
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """As `porticod --help` describes them."""

    foreground: bool = False
    check: bool = False
    up: Path | None = None


def main() -> None:
    limit_arenas()
    options = _options()
    try:
        home = Home.find(os.environ, root=os.geteuid() == 0)
        if options.check:
            assert_own(home.path, os.geteuid())
            assert_usable(home.database)
            return
        home.make()
        lock = _lock(home)
    except (PorticoError, OSError) as error:
        sys.exit(f"porticod: {error}")
    _log_to(home, foreground=options.foreground)
    if lock is None:
        print(f"porticod: another daemon is running in {home.path}", file=sys.stderr)  # noqa: T201
        sys.exit(ALREADY_SERVED_CODE)
    with lock:
        try:
            home.claim()
        except PorticoError as error:
            sys.exit(f"porticod: {error}")
        sys.exit(_serve(home, options))


def _serve(home: Home, options: Options) -> int:
    """Run to the end. After a bug the daemon begins anew and adopts what it looked after."""
    clock, deaths = SystemClock(), Deaths(home.deaths, os.environ)
    sys.setswitchinterval(SWITCH_INTERVAL)
    _raise_priority()
    try:
        code = asyncio.run(_run(home, clock, options, deaths))
    except ExceptionGroup as ended:
        if expected := ended.subgroup(PorticoError):
            log.error("cannot continue: %s", expected.exceptions[0])  # noqa: TRY400 - no bug
            return 1
        log.exception(
            "internal error (a bug in portico), exiting; instances and nginx keep running"
        )
    else:
        deaths.forget()
        return code
    count = deaths.add(clock.now())
    if options.foreground or "NOTIFY_SOCKET" in os.environ:
        return 1  # who started it starts it again
    return _restart(clock, count)


def _raise_priority() -> None:
    """Of the daemon alone: what it starts does not inherit it. Only root may."""
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(AUTOGROUP_NICE), "ascii")


def _restart(clock: SystemClock, count: int) -> int:
    """Become a new daemon, a few times at most: what fails again and again needs a person."""
    if count > MAX_RESTARTS:
        log.error("crashed %d times in a row; giving up until the next portico command", count)
        return 1
    asyncio.run(clock.sleep(RESTART_PAUSE * count))
    return os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the same program again


def _options() -> Options:
    if len(sys.argv) == 1:
        return Options()
    import argparse  # noqa: PLC0415 - 0.7 MB with what it imports, and a command gives no options

    parser = argparse.ArgumentParser(prog="porticod", description=__doc__)
    parser.add_argument("--version", action="version", version=f"porticod {__version__}")
    parser.add_argument(
        "--foreground", action="store_true", help="log to standard error; SIGTERM stops everything"
    )
    parser.add_argument(
        "--check", action="store_true", help="check that it can run in this home, and exit"
    )
    parser.add_argument("--up", type=Path, metavar="PATH", help="apply this file at start")
    return Options(**vars(parser.parse_args()))


def _log_to(home: Home, *, foreground: bool) -> None:
    handler: logging.Handler = logging.StreamHandler()
    if not foreground:
        handler = logging.handlers.RotatingFileHandler(
            home.daemon_log, maxBytes=LOG_SIZE, backupCount=LOGS_KEPT, delay=True
        )
    handler.setFormatter(_SafeFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(
        level=logging.INFO,
        handlers=[handler],
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class _SafeFormatter(logging.Formatter):
    """A log is read on terminals, and holds words of programs, authorities and files: they can
    begin no line that looks like one of ours.
    """

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s,%03d UTC"

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record)).replace("\n", "\n  ")


def _lock(home: Home) -> IO[str] | None:
    """One daemon a home: a kernel lock, which no crash can leave behind."""
    held = os.fdopen(os.open(home.lock, LOCK_FLAGS, 0o600), "r+")
    os.fchmod(held.fileno(), 0o600)  # who can open it can lock it

    def is_taken() -> bool:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    if not wait_for(is_taken, LOCK_TIMEOUT):  # the one before may just be leaving
        held.close()
        return None
    with suppress(OSError):  # on a full disk the lock holds, and nobody can read whose it is
        held.truncate(0)
        held.write(f"{os.getpid()}\n")
        held.flush()
    return held


async def _run(home: Home, clock: SystemClock, options: Options, deaths: Deaths) -> int:
    stop, notify = asyncio.Event(), Notify(os.environ)
    uids = frozenset({0, os.geteuid()})
    process = DaemonProcess(home, clock, stop, uids, notify, deaths)
    if options.foreground:
        return await run_in_foreground(process, options.up, os.environ)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def companion(portico: Portico) -> None:
        if mode == "command":  # else who started it keeps it, idle or not
            await stop_when_idle(portico, stop)

    mode: Mode = "unit" if notify.is_supervised else "command"
    await run_daemon(process, companion, mode)
    return 0


if __name__ == "__main__":
    main()
