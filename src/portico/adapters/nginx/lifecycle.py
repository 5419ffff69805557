"""Starting nginx, having it take over new files, and ending it; each with a deadline.

What nginx 1.31 does (measured) when its master is killed: the workers serve on, for ever and with
what they know. A new master can listen beside them where the files say `reuseport`; where they do
not it gets EADDRINUSE, tries again every 500 ms, and gives up after five times.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.adapters.nginx.error_lines import LogTail, error_lines
from portico.adapters.nginx.processes import (
    Master,
    NginxProcess,
    orphans,
    processes_in,
    workers_of,
)
from portico.core.render.alpn import INSIDE
from portico.system.programs import DEVNULL, Program, StartProgram, running

START_TIMEOUT: Final = 20.0
LEAVE_TIMEOUT: Final = 2.0
TERM_TIMEOUT: Final = 5.0
LOOK_INTERVAL: Final = 0.02
READ_SIZE: Final = 1 << 16

SEARCH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Nginx's whole environment. It needs none, but writes its title over it."""


class ReloadFailed(Exception):
    """nginx did not come up, or did not take the new files over; its words are the text."""

    def __init__(self, said: str, *, certain: bool) -> None:
        super().__init__(said)
        self.certain = certain
        """Whether nginx has said so, and serves what it served before."""


@dataclass(frozen=True, slots=True)
class Paths:
    folder: Path
    """HOME/nginx, the folder that every process of this nginx runs in."""
    main_file: Path
    error_log: Path

    @property
    def pid_file(self) -> Path:
        """Where the files tell nginx to write its master's pid."""
        return self.folder / "nginx.pid"

    @property
    def old_pid_file(self) -> Path:
        """Where nginx keeps the old master's pid while its program is replaced."""
        return self.folder / "nginx.pid.oldbin"

    @property
    def inside(self) -> Path:
        """A socket on which nginx listens for itself."""
        return self.folder / INSIDE

    def arguments(self, main_file: Path) -> tuple[str, ...]:
        return "-p", f"{self.folder}/", "-c", str(main_file)


async def start(
    program: str, paths: Paths, start_program: StartProgram, keep: Sequence[int] = ()
) -> Master:
    """Start a master that outlives us, then let workers of a killed one finish and go.

    It keeps these descriptors open, and so do its workers and who replaces it on the fly.
    """
    tail = LogTail(paths.error_log)
    # A master that was killed has left it, and no other could listen there. bind(2)
    await asyncio.to_thread(paths.inside.unlink, missing_ok=True)
    said = await _start(program, paths, start_program, keep)
    try:
        async with asyncio.timeout(START_TIMEOUT):
            master = await _first_worker(paths, tail)
    except TimeoutError:
        raise ReloadFailed(f"{said}{tail}", certain=False) from None
    await retire_orphans(paths.folder)
    return master


async def reload(master: Master, paths: Paths, within: float) -> None:
    """Have the master read its files again, and see workers of theirs replace the old ones."""
    tail = LogTail(paths.error_log)
    before = {worker.pid for worker in workers_of(master, await look(paths.folder))}
    master.signal(signal.SIGHUP)
    try:
        async with asyncio.timeout(within):
            while not _replaced(workers_of(master, await look(paths.folder)), before):
                said = [each for each in tail.error_lines() if each.pid == master.pid]
                if any(each.is_final for each in said):
                    raise ReloadFailed("\n".join(map(str, said)), certain=True)
                if not master.is_running():
                    raise ReloadFailed("its master process died during the reload", certain=False)
                await asyncio.sleep(LOOK_INTERVAL)
    except TimeoutError:
        slow = f"its workers were not replaced within {within:g} seconds"
        raise ReloadFailed(slow, certain=False) from None


async def is_leaving(master: Master, folder: Path) -> bool:
    """Whether it was told to end: then it takes no connections and no new files any more."""
    workers = workers_of(master, await look(folder))
    return bool(workers) and all(worker.is_leaving for worker in workers)


async def orphan(master: Master, folder: Path) -> None:
    """End a master alone: its workers serve on until another one takes over from them."""
    master.signal(signal.SIGKILL)
    await left_after(
        LEAVE_TIMEOUT, folder, lambda found: [p for p in found if p.pid == master.pid]
    )


async def end(
    folder: Path, *, patience: float, should_abort: Callable[[], bool]
) -> list[NginxProcess]:
    """End the master and workers without one; returns what even SIGKILL did not end.

    Requests may finish for at most `patience` seconds, and as long as it is not `should_abort`.
    """
    if patience:
        await _tell(folder, signal.SIGQUIT)
        await left_after(patience, folder, lambda found: [] if should_abort() else found)
    for number in (signal.SIGTERM, signal.SIGKILL):
        await _tell(folder, number)
        await left_after(TERM_TIMEOUT, folder, lambda found: found)
    return await look(folder)


async def _tell(folder: Path, number: signal.Signals) -> None:
    """Masters pass on to their workers what they are told, except for SIGKILL."""
    found = await look(folder)
    for process in found:
        if process.is_master or process in orphans(found) or number is signal.SIGKILL:
            process.signal(number)


async def _start(
    program: str, paths: Paths, start_program: StartProgram, keep: Sequence[int]
) -> str:
    """Run it until it has gone into the background; what it said meanwhile."""
    words = (program, *paths.arguments(paths.main_file), "-e", str(paths.error_log))
    nginx = Program(words, {"PATH": SEARCH}, str(paths.folder), keep=tuple(keep))
    said = ""
    try:
        async with running(start_program, nginx, stdout=DEVNULL) as process:
            async with asyncio.timeout(START_TIMEOUT):
                assert process.stderr is not None  # noqa: S101 - it was asked for
                while data := await process.stderr.read(READ_SIZE):
                    said = (said + data.decode(errors="replace"))[-READ_SIZE:]
                    if any(each.is_taken_port for each in error_lines(said)):
                        await retire_orphans(paths.folder)
                code = await process.wait()
    except TimeoutError:
        raise ReloadFailed(said, certain=False) from None
    except OSError as error:
        raise ReloadFailed(f"cannot run {program}: {error.strerror}", certain=True) from None
    if code:
        raise ReloadFailed(said, certain=True)
    return said


async def _first_worker(paths: Paths, tail: LogTail) -> Master:
    while True:
        master = Master.from_pid_file(paths.pid_file)
        if master is not None and workers_of(master, await look(paths.folder)):
            return master
        if master is not None:
            master.close()
        if any(each.is_final for each in tail.error_lines()):
            raise ReloadFailed(str(tail), certain=True)
        await asyncio.sleep(LOOK_INTERVAL)


def _replaced(workers: list[NginxProcess], before: set[int]) -> bool:
    """All new workers are there before the old ones are told to finish."""
    fresh = [worker for worker in workers if worker.pid not in before]
    stale = [worker for worker in workers if worker.pid in before and not worker.is_leaving]
    return bool(fresh) and not stale


async def retire_orphans(folder: Path) -> None:
    """Let them finish what they have; kill what does not even begin to."""
    for process in orphans(await look(folder)):
        process.signal(signal.SIGQUIT)
    stuck = await left_after(
        LEAVE_TIMEOUT, folder, lambda found: [p for p in orphans(found) if not p.is_leaving]
    )
    for process in stuck:
        process.signal(signal.SIGKILL)


async def left_after(
    within: float,
    folder: Path,
    which: Callable[[list[NginxProcess]], list[NginxProcess]],
) -> list[NginxProcess]:
    """Wait until there are none of these, and return those that are there at the deadline."""
    deadline = asyncio.get_running_loop().time() + within
    while left := which(await look(folder)):
        if asyncio.get_running_loop().time() > deadline:
            return left
        await asyncio.sleep(LOOK_INTERVAL)
    return []


async def look(folder: Path) -> list[NginxProcess]:
    return await asyncio.to_thread(processes_in, folder)
