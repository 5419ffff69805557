"""Instances as processes of Linux: started, watched by pidfd, signalled as a group.

They are children of the daemon that started them, and of nobody who knows them after it died:
a new daemon finds them by pid and start time.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.adapters.processes import groups
from portico.adapters.processes.batch import Batch
from portico.adapters.processes.checking import run_check
from portico.adapters.processes.ends import Ends
from portico.adapters.processes.finding import Mark, families, find
from portico.adapters.processes.owners import Answers, Owners, Target
from portico.adapters.processes.start import links_of, prepare, start
from portico.adapters.processes.table import Table, is_running
from portico.adapters.processes.turns import one_at_a_time
from portico.adapters.processes.watch import Cleanup, Cleanups, Watch, clean_up, kill_orphans
from portico.core.model.check import Check
from portico.core.model.desired import Spec
from portico.core.model.instance import Exit, Process
from portico.core.model.launch import Launch
from portico.core.model.names import InstanceId
from portico.core.model.port_owner import Owner, PortAnswer
from portico.core.planning.environment import NoticePaths
from portico.errors import Failed
from portico.ports.clock import Clock
from portico.system.observation import Observation
from portico.system.proc import TICKS_PER_SECOND, Stat, stat
from portico.system.programs import (
    Child,
    OwnChild,
    StartProgram,
    handle_ignored_signals,
    start_here,
)

FRESH_TIME: Final = 1.0
MAX_FRESH_TIME: Final = 5.0
"""Seconds for which one look at all processes serves every question about usage: twenty times as
long as it took, which with a thousand instances is a tenth of a second."""
USAGE_REST: Final = 20.0

SCAN_REST: Final = 4.0
"""Looks at all processes for what those that ended have left behind rest four times as long as
they take: with thousands of processes a look takes a twentieth of a second and more.
"""


class LinuxProcesses:
    """Made in the main thread, because signals are its own."""

    def __init__(
        self,
        logs: Path,
        clock: Clock,
        notices: NoticePaths | None = None,
        start_program: StartProgram = start_here,
    ) -> None:
        """`logs` is the folder of all log files."""
        self._logs, self._clock, self._notices = logs, clock, notices
        self._start_program = start_program
        self._watched: dict[Process, Watch] = {}
        self._measurement = Observation(self._measure_all, clock.monotonic, fresh=FRESH_TIME)
        self._usage: Mapping[Process, _Usage] = {}
        groups.leave()
        self._groups = groups.folder_for(os.getpid(), logs)
        if self._groups:
            groups.remove_empty_groups(self._groups)
        self._cleanups: Cleanups = Batch(self._clean_up, rest=SCAN_REST)
        self._ends, self._owners = Ends(), Owners()
        self._answering: Answers = Batch(self._owners.find)
        handle_ignored_signals()

    async def spawn(self, launch: Launch, on_exit: Callable[[Exit], None]) -> Process:
        loop = asyncio.get_running_loop()
        job = loop.run_in_executor(None, self._start, launch)
        try:
            process, child, mark = await asyncio.shield(job)
        except asyncio.CancelledError:
            job.add_done_callback(_abandon)
            raise
        self._watch(process, child, mark, on_exit)
        return process

    async def adopt(
        self, launch: Launch, process: Process, on_exit: Callable[[Exit], None]
    ) -> bool:
        child = _open(process.pid)
        # In this order: who had the number before and after has had it all the time.
        if child is not None and is_running(process):
            mark = await asyncio.to_thread(self._mark_with_group, launch, process.pid)
            self._watch(process, child, mark, on_exit)
            return True
        if child is not None:
            os.close(child.pidfd)
        return False

    async def find(self, since: Sequence[tuple[Launch, float]]) -> Mapping[InstanceId, Process]:
        def look() -> Mapping[InstanceId, Process]:
            return find({self._mark(launch): moment for launch, moment in since})

        return await asyncio.to_thread(look) if since else {}

    async def end_orphans(self, lost: Sequence[tuple[Launch, Process | None]]) -> None:
        def end() -> None:
            kill_orphans({self._mark(launch): process for launch, process in lost})

        if lost:
            await asyncio.to_thread(end)

    async def port_answers(self, asked: Sequence[tuple[Process, int]]) -> list[PortAnswer]:
        targets = {
            (process, port): Target(process, watch.mark, port)
            for process, port in asked
            if (watch := self._watched.get(process))
        }
        answers = await self._answering.ask(tuple(targets.values())) if targets else ()
        found = dict(zip(targets, answers, strict=True))
        return [found.get(each, PortAnswer(Owner.NOBODY)) for each in asked]

    def signal(self, process: Process, name: str) -> None:
        if watch := self._watched.get(process):
            watch.note_signal(name)
        # Once it has ended, its watch ends those that it left behind.
        if is_running(process):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.Signals[name])

    async def problems(self, launch: Launch) -> list[str]:
        return (await asyncio.to_thread(prepare, launch, self._logs, self._notices))[1]

    async def links_of(self, spec: Spec) -> Mapping[str, str]:
        return await asyncio.to_thread(links_of, spec)

    async def run_check(self, launch: Launch, check: Check) -> str | None:
        return await run_check(launch, check, self._logs, self._start_program)

    async def measure(self) -> None:
        await self._measurement.ask()

    async def _measure_all(self) -> None:
        begun = self._clock.monotonic()
        await asyncio.to_thread(self._measure)
        took = self._clock.monotonic() - begun
        self._measurement.fresh = min(max(FRESH_TIME, USAGE_REST * took), MAX_FRESH_TIME)

    def _measure(self) -> None:
        families, before = self._families(), self._usage
        now = self._clock.monotonic()  # the look may have waited for its turn
        self._usage = {
            process: _measure(process, family, before.get(process), now)
            for process, family in families.items()
        }

    def usage(self, process: Process) -> tuple[int, float, float]:
        seen = self._usage.get(process)
        return (seen.resident, seen.percent, seen.seconds) if seen else (0, 0.0, 0.0)

    async def resident(self, processes: Sequence[Process]) -> list[int]:
        families = await asyncio.to_thread(self._families)
        return [sum(each.resident for each in families.get(p, ())) for p in processes]

    def close(self) -> None:
        """Watch nobody any more; all instances go on."""
        for watch in self._watched.values():
            watch.close()
        self._watched.clear()

    def watched_processes(self) -> Collection[int]:
        """The processes whose ends are not to be waited for by anybody else, by pid."""
        return {process.pid for process in self._watched}

    @one_at_a_time
    def _families(self) -> Mapping[Process, Sequence[Stat]]:
        return families(Table(), {p: watch.mark for p, watch in list(self._watched.items())})

    def _watch(
        self, process: Process, child: Child, mark: Mark, on_exit: Callable[[Exit], None]
    ) -> None:
        def note_end(ending: Exit) -> None:
            self._watched.pop(process, None)
            self._owners.forget(process)
            on_exit(ending)

        self._watched[process] = Watch(
            process,
            child,
            mark,
            note_end,
            cleanups=self._cleanups,
            ends=self._ends,
            clock=self._clock,
        )

    def _start(self, launch: Launch) -> tuple[Process, Child, Mark]:
        child = start(launch, self._logs, self._notices, self._start_program)
        mark = self._mark_with_group(launch, child.pid)
        seen = stat(child.pid)
        assert seen is not None  # noqa: S101 - it was not released yet
        return Process(child.pid, seen.started), child, mark

    def _clean_up(self, cleanups: Sequence[Cleanup]) -> list[tuple[tuple[Stat, ...], Exit]]:
        ended = {each.process for each in cleanups}
        return clean_up(cleanups, [each for each in list(self._watched) if each not in ended])

    def _mark_with_group(self, launch: Launch, pid: int) -> Mark:
        """Its mark, with a group of its own where there can be one."""
        self._groups = groups.folder_for(pid, self._logs) or self._groups
        mark = self._mark(launch)
        if mark.group is not None:
            groups.make(mark.group, pid)
        return mark

    def _mark(self, launch: Launch) -> Mark:
        return Mark.of(launch, self._logs, self._groups)


@dataclass(frozen=True, slots=True)
class _Usage:
    at: float
    ticks: int
    percent: float
    """Of one core, since the look before, in tenths."""
    resident: int
    seconds: float
    """Of processor time, in hundredths; it never falls, also where a child has ended with its
    own.
    """


def _measure(
    process: Process, family: Sequence[Stat], before: _Usage | None, now: float
) -> _Usage:
    ticks = sum(each.ticks for each in family)
    resident = sum(each.resident for each in family)
    since = before.at if before else process.started / TICKS_PER_SECOND
    used = max(ticks - (before.ticks if before else 0), 0) / TICKS_PER_SECOND
    percent = round(100 * used / (now - since), 1) if now > since else 0.0
    seconds = round((before.seconds if before else 0.0) + used, 2)
    return _Usage(now, ticks, percent, resident, seconds)


def _abandon(job: asyncio.Future[tuple[Process, Child, Mark]]) -> None:
    """Nobody waits for this start any more, so nobody would ever stop it."""
    if not job.cancelled() and job.exception() is None:
        process, child, _ = job.result()
        os.killpg(process.pid, signal.SIGKILL)
        os.close(child.pidfd)
        child.release()


def _open(pid: int) -> Child | None:
    try:
        return OwnChild(pid)
    except OSError as error:
        if error.errno in {errno.ESRCH, errno.EINVAL, errno.ENOENT}:  # none, or only a thread
            return None
        raise Failed(f"cannot watch pid {pid}: {error.strerror}") from error
