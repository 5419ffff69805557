"""One process, watched until it and everything that it left in its session have ended.

A child that outlives its parent goes on holding the port: the next process of that slot could
not listen. So an exit is told only when the session is empty.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from portico.adapters.processes.proc import Stat, Table, inherited_environment, stat
from portico.core.model.instance import Exit, Process
from portico.ports import Clock
from portico.system.programs import Child

log = logging.getLogger(__name__)

PATIENCE: Final = 60.0
"""Seconds for which the children of a process that was told to stop may finish their work."""
LOOK_AGAIN: Final = 0.05
GIVE_UP: Final = 5.0
"""Seconds after SIGKILL: what is still there then waits in the kernel, for a disk perhaps."""


class Watch:
    """Calls `on_exit` once, in the event loop. Takes over the pidfd of `child`."""

    def __init__(
        self, process: Process, child: Child, on_exit: Callable[[Exit], None], clock: Clock
    ) -> None:
        self._process, self._child, self._on_exit = process, child, on_exit
        self._clock, self._loop = clock, asyncio.get_running_loop()
        self._patient_until = 0.0
        """Until when what the process leaves behind may go on; not at all unless it was told."""
        self._killing_since: float | None = None
        self._closed = False
        self._loop.add_reader(child.pidfd, self._ended)

    def told(self, name: str) -> None:
        """A signal was sent to the whole group: let those that outlive the first one finish."""
        patience = 0.0 if name == "SIGKILL" else PATIENCE
        self._patient_until = self._clock.monotonic() + patience

    def close(self) -> None:
        """Watch no longer; the process goes on."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._child.pidfd)
            os.close(self._child.pidfd)

    def _ended(self) -> None:
        self._loop.remove_reader(self._child.pidfd)
        self._look()

    def _look(self) -> None:
        if self._closed:
            return
        now = self._clock.monotonic()
        if self._killing_since is None and now >= self._patient_until:
            self._killing_since = now
        kill = self._killing_since is not None
        job = self._loop.run_in_executor(None, self._end_session, kill)
        job.add_done_callback(self._looked)

    def _end_session(self, kill: bool) -> tuple[bool, Exit]:  # noqa: FBT001 - from run_in_executor
        """Whether the session is empty, and how its leader ended."""
        return end_session(self._process, kill), _exit(self._child.exit_code())

    def _looked(self, job: asyncio.Future[tuple[bool, Exit]]) -> None:
        if self._closed or job.cancelled():
            return
        since = self._killing_since
        stuck = since is not None and self._clock.monotonic() > since + GIVE_UP
        if error := job.exception():  # nobody knows who is left: that may not last for ever
            log.error("cannot look for what %s has left behind", self._process, exc_info=error)
        is_empty, ending = (False, Exit()) if error else job.result()
        if not is_empty and not stuck:
            self._loop.call_later(LOOK_AGAIN, self._look)
            return
        # Released only now: until then nobody else can get its number, or that of its session.
        self.close()
        self._child.release()
        self._on_exit(ending)


def end_session(process: Process, kill: bool) -> bool:  # noqa: FBT001 - one of two acts
    """Whether the session of a process that has ended is empty; if not, and asked, kill it."""
    left = _left(process)
    if kill:
        for each in left:
            _kill(each)
    return not left


def end_orphans(process: Process) -> None:
    """Kill what is left of a session whose leader ended while nobody watched.

    The machine may have been started anew since, and the number may be that of somebody
    else's session: only what was started with the environment of an instance is killed.
    """
    for each in _left(process):
        if any(v.startswith(b"PORTICO_INSTANCE=") for v in inherited_environment(each.pid)):
            _kill(each)


def _left(process: Process) -> list[Stat]:
    left = [each for each in Table().session(process) if each.pid != process.pid]
    for each in left:
        if each.state == "Z" and each.parent == os.getpid():  # as process 1 of a container
            with suppress(ChildProcessError):
                os.waitpid(each.pid, os.WNOHANG)
    return [each for each in left if each.state != "Z"]


def _kill(target: Stat) -> None:
    """Kill that very process, even if its number is given anew in this moment."""
    with suppress(OSError):
        pidfd = os.pidfd_open(target.pid)
        try:
            now = stat(target.pid)
            if now and now.started == target.started:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)


def _exit(code: int | None) -> Exit:
    if code is None:
        return Exit()
    return Exit(code=code) if code >= 0 else Exit(signal=-code)
