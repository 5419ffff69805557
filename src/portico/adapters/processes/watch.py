"""One process, watched until it and everything that it has started have ended.

A child that outlives its parent goes on holding the port: the next process of that slot could
not listen. So an exit is told only when nothing of it is left, in whatever session it is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from portico.adapters.processes import groups
from portico.adapters.processes.batch import Batch
from portico.adapters.processes.finding import Mark, belonging, families
from portico.adapters.processes.table import Table
from portico.core.model.instance import Exit, Process
from portico.ports.clock import Clock
from portico.system.proc import Stat, stat
from portico.system.programs import Child

log = logging.getLogger(__name__)

CHILDREN_TIMEOUT: Final = 60.0
"""Seconds for which the children of a process that was told to stop may finish their work."""
FIRST_INTERVAL: Final = 0.05  # seconds; then half as much again, to the limit
MAX_INTERVAL: Final = 0.25
KILL_TIMEOUT: Final = 5.0
"""Seconds after SIGKILL: what is still there then waits in the kernel, for a disk perhaps."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What a process that has ended has left behind, and what is to be done with it."""

    process: Process
    child: Child
    mark: Mark
    kill: bool
    tell: signal.Signals | None = None
    """A signal for those that it was not sent to, because they are in sessions of their own."""


Leavings = Batch[Leftovers, tuple[bool, Exit]]
"""Whether nothing is left, and how the process itself has ended."""


class Watch:
    """Calls `on_exit` once, in the event loop. Takes over the pidfd of `child`."""

    def __init__(
        self,
        process: Process,
        child: Child,
        mark: Mark,
        on_exit: Callable[[Exit], None],
        leavings: Leavings,
        clock: Clock,
    ) -> None:
        self._process, self._child, self._on_exit = process, child, on_exit
        self._leavings, self._clock = leavings, clock
        self._loop = asyncio.get_running_loop()
        self._patient_until = 0.0
        """Until when what the process leaves behind may go on; not at all unless it was told."""
        self._tell: signal.Signals | None = None
        self._killing_since: float | None = None
        self._pause = FIRST_INTERVAL
        self._closed = False
        self.mark = mark
        self._loop.add_reader(child.pidfd, self._ended)

    def signalled(self, name: str) -> None:
        """A signal was sent to the whole group: let those that outlive the first one finish."""
        patience = 0.0 if name == "SIGKILL" else CHILDREN_TIMEOUT
        self._patient_until = self._clock.monotonic() + patience
        self._tell = signal.Signals[name]

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
            self._killing_since, self._pause = now, FIRST_INTERVAL
        kill = self._killing_since is not None
        left = Leftovers(self._process, self._child, self.mark, kill, self._tell)
        self._tell = None
        self._leavings.ask(left).add_done_callback(self._looked)

    def _looked(self, job: asyncio.Future[tuple[bool, Exit]]) -> None:
        if self._closed or job.cancelled():
            return
        if error := job.exception():
            log.error(
                "cannot find processes left behind by %s", self.mark.instance, exc_info=error
            )
        is_empty, ending = (False, Exit()) if error else job.result()
        since = self._killing_since
        stuck = since is not None and self._clock.monotonic() > since + KILL_TIMEOUT
        if not is_empty and not stuck:
            self._loop.call_later(self._pause, self._look)
            self._pause = min(self._pause * 1.5, MAX_INTERVAL)
            return
        if stuck:
            log.warning("a process started by %s does not exit", self.mark.instance)
        # Released only now: until then nobody else can get its number, or that of its session.
        self.close()
        self._child.release()
        self._on_exit(ending)


def end_left(asked: Sequence[Leftovers], others: Collection[Process]) -> list[tuple[bool, Exit]]:
    """For each process that has ended, whether nothing is left. What is left is told or killed.

    `others` are processes of other instances.
    """
    family = families(Table(), {each.process: each.mark for each in asked}, others)
    return [(_end(each, family[each.process]), _exit(each.child.exit_code())) for each in asked]


def end_orphans(lost: Mapping[Mark, Process | None]) -> None:
    """Kill what is left of instances whose processes ended while nobody watched, but for the
    process that was found for one meanwhile, and what that one has started.
    """
    table = Table()
    for mark, family in belonging(table, lost).items():
        found = lost[mark]
        stay = table.family(found) if found else []
        if mark.group and not found:
            groups.kill(mark.group)
        for each in family:
            if each not in stay:
                _send(each, signal.SIGKILL)


def _end(left: Leftovers, family: list[Stat]) -> bool:
    rest = [each for each in family if each.pid != left.process.pid]
    for each in rest:
        if each.state == "Z" and each.parent == os.getpid():
            with suppress(ChildProcessError):
                os.waitpid(each.pid, os.WNOHANG)
    rest = [each for each in rest if each.state != "Z"]
    group = left.mark.group
    if not rest and group:
        groups.remove(group)
    if rest and group and left.kill:
        groups.kill(group)
    for each in rest:
        if left.kill:
            _send(each, signal.SIGKILL)
        elif left.tell and each.session != left.process.pid:
            _send(each, left.tell)
    return not rest


def _send(target: Stat, number: signal.Signals) -> None:
    """To that very process, even if its number is given anew in this moment."""
    with suppress(OSError):
        pidfd = os.pidfd_open(target.pid)
        try:
            now = stat(target.pid)
            if now and now.started == target.started:
                signal.pidfd_send_signal(pidfd, number)
        finally:
            os.close(pidfd)


def _exit(code: int | None) -> Exit:
    if code is None:
        return Exit()
    return Exit(code=code) if code >= 0 else Exit(signal=-code)
