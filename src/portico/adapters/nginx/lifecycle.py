"""Starting, reloading and stopping nginx; each with a deadline.

What nginx 1.31 does (measured) when its master is killed: the workers keep serving, with what they
know. A new master can listen too where the files say `reuseport`; where they do not it gets
EADDRINUSE, tries again every 500 ms, and gives up after five times.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.adapters.nginx.error_lines import LogTail, error_lines
from portico.adapters.nginx.processes import (
    Master,
    NginxProcess,
    as_they_are,
    orphans,
    processes_in,
    workers_of,
)
from portico.core.model.neighbour import neighbours_socket
from portico.core.render.alpn import FOLDER, INNER_SOCKET
from portico.core.render.relay import SOCKET_PATTERN
from portico.system import inherit_sockets
from portico.system.programs import DEVNULL, SEARCH_PATH, Program, StartProgram, running

START_TIMEOUT: Final = 20.0
EXIT_TIMEOUT: Final = 2.0
TERM_TIMEOUT: Final = 5.0
POLL_INTERVAL: Final = 0.02
READ_SIZE: Final = 1 << 16


class ReloadFailed(Exception):
    """nginx did not start, or did not load the new files; the text is its own."""

    def __init__(self, reason: str, *, reported: bool) -> None:
        super().__init__(reason)
        self.reported = reported
        """Whether nginx itself reported it; a running one then serves what it served before."""


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
    def own_socket(self) -> Path:
        """A socket on which nginx listens for itself."""
        return self.folder / INNER_SOCKET

    @property
    def to_neighbours(self) -> Path:
        """A socket on which nginx listens for the daemon."""
        return Path(neighbours_socket(str(self.folder.parent)))

    @property
    def to_machines(self) -> tuple[Path, ...]:
        """Sockets on which nginx listens for what it passes on to other machines (`relay`)."""
        return tuple((self.folder / FOLDER).glob(SOCKET_PATTERN))

    def arguments(self, main_file: Path) -> tuple[str, ...]:
        return "-p", f"{self.folder}/", "-c", str(main_file)


async def start(
    program: str,
    paths: Paths,
    start_program: StartProgram,
    keep: Sequence[int] = (),
    other: Master | None = None,
) -> Master:
    """Start a master that outlives us, then let workers of a killed one finish and exit.

    It keeps these descriptors open, as do its workers and a program that replaces it on the fly.
    With `other`, another installation's, it takes connections on that one's sockets.
    """
    tail = LogTail(paths.error_log)
    await asyncio.to_thread(_remove_sockets, paths)
    words = (program, *paths.arguments(paths.main_file), "-e", str(paths.error_log))
    if other:
        inherit = (sys.executable, "-I", "-S", inherit_sockets.__file__)
        words = (*inherit, str(other.pid), str(int(other.started)), *words)
    output = await _start(words, paths, start_program, keep)
    try:
        async with asyncio.timeout(START_TIMEOUT):
            master = await _first_worker(paths, tail)
    except TimeoutError:
        raise ReloadFailed(f"{output}{tail}", reported=False) from None
    await retire_orphans(paths.folder)
    return master


def _remove_sockets(paths: Paths) -> None:
    """A master that was killed has left them, and no other could listen there (bind(2))."""
    for socket in (paths.own_socket, paths.to_neighbours, *paths.to_machines):
        socket.unlink(missing_ok=True)


async def reload(master: Master, paths: Paths, seconds: float) -> None:
    """Have the master read its files again, and see workers of theirs replace the old ones."""
    tail = LogTail(paths.error_log)
    before = workers_of(master, await list_processes(paths.folder))
    master.signal(signal.SIGHUP)
    try:
        async with asyncio.timeout(seconds):
            while not await _are_replaced(before, master, paths.folder):
                errors = [each for each in tail.error_lines() if each.pid == master.pid]
                if any(each.is_fatal for each in errors):
                    raise ReloadFailed("\n".join(map(str, errors)), reported=True)
                if not master.is_running():
                    raise ReloadFailed("its master process died during the reload", reported=False)
                await asyncio.sleep(POLL_INTERVAL)
    except TimeoutError:
        slow = f"its workers were not replaced within {seconds:g} seconds"
        raise ReloadFailed(slow, reported=False) from None


async def is_shutting_down(master: Master, folder: Path) -> bool:
    """Whether it got SIGQUIT: then it takes no connections and no new files any more."""
    workers = workers_of(master, await list_processes(folder))
    return bool(workers) and all(worker.is_shutting_down for worker in workers)


async def kill_master(master: Master) -> None:
    """Kill a master alone: its workers keep serving until another master replaces them."""
    master.signal(signal.SIGKILL)
    await exits_within(master, EXIT_TIMEOUT)


async def exits_within(master: Master, seconds: float) -> bool:
    """Wait for its exit; whether it came in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while master.is_running():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(POLL_INTERVAL)
    return True


async def stop(
    folder: Path, *, grace_period: float, should_abort: Callable[[], bool]
) -> list[NginxProcess]:
    """Stop the master and workers without one; returns what even SIGKILL did not end.

    Requests may finish for at most `grace_period` seconds, or until `should_abort()`.
    """
    left = await list_processes(folder)
    if grace_period:
        _signal(left, signal.SIGQUIT)
        left = await wait_until_none(left, grace_period, folder, should_abort=should_abort)
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = left and await list_processes(folder)  # also those that were started meanwhile
        _signal(left, number)
        left = await wait_until_none(left, TERM_TIMEOUT, folder)
    return left


def _signal(found: list[NginxProcess], number: signal.Signals) -> None:
    """A master passes signals on to its workers, except for SIGKILL."""
    for process in found:
        if process.is_master or process in orphans(found) or number is signal.SIGKILL:
            process.signal(number)


async def _start(
    words: tuple[str, ...], paths: Paths, start_program: StartProgram, keep: Sequence[int]
) -> str:
    """Run it until it is in the background; what it printed meanwhile."""
    # It needs no environment, but writes its title over it.
    nginx = Program(words, {"PATH": SEARCH_PATH}, str(paths.folder), keep=tuple(keep))
    output = ""
    try:
        async with running(start_program, nginx, stdout=DEVNULL) as process:
            async with asyncio.timeout(START_TIMEOUT):
                assert process.stderr is not None  # noqa: S101 - it was asked for
                while data := await process.stderr.read(READ_SIZE):
                    output = (output + data.decode(errors="replace"))[-READ_SIZE:]
                    if any(each.is_taken_port for each in error_lines(output)):
                        await retire_orphans(paths.folder)
                code = await process.wait()
    except TimeoutError:
        raise ReloadFailed(output, reported=False) from None
    except OSError as error:
        raise ReloadFailed(f"cannot run {words[0]}: {error.strerror}", reported=True) from None
    if code:
        raise ReloadFailed(output, reported=True)
    return output


async def _first_worker(paths: Paths, tail: LogTail) -> Master:
    while True:
        master = Master.from_pid_file(paths.pid_file)
        if master is not None and workers_of(master, await list_processes(paths.folder)):
            return master
        if master is not None:
            master.close()
        if any(each.is_fatal for each in tail.error_lines()):
            raise ReloadFailed(str(tail), reported=True)
        await asyncio.sleep(POLL_INTERVAL)


async def _are_replaced(before: list[NginxProcess], master: Master, folder: Path) -> bool:
    """All new workers run before nginx has the old ones finish."""
    if not all(each.is_shutting_down for each in await _as_they_are(before, folder)):
        return False
    old = {worker.pid for worker in before}
    return any(each.pid not in old for each in workers_of(master, await list_processes(folder)))


async def retire_orphans(folder: Path) -> None:
    """Let them finish their requests; kill those that do not begin to."""
    found = orphans(await list_processes(folder))
    if not found:
        return
    for process in found:
        process.signal(signal.SIGQUIT)
    stuck = await wait_until_none(_not_finishing(found), EXIT_TIMEOUT, folder, _not_finishing)
    for process in stuck:
        process.signal(signal.SIGKILL)


def _not_finishing(found: list[NginxProcess]) -> list[NginxProcess]:
    return [process for process in orphans(found) if not process.is_shutting_down]


async def wait_until_none(
    left: list[NginxProcess],
    seconds: float,
    folder: Path,
    select: Callable[[list[NginxProcess]], list[NginxProcess]] = list,
    should_abort: Callable[[], bool] = lambda: False,
) -> list[NginxProcess]:
    """Wait until none is selected; returns those that are then left. To look for others than these
    takes a hundred times longer: only when these have gone. So `select` may go by each process
    alone, not by one that is to come.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while left and asyncio.get_running_loop().time() <= deadline and not should_abort():
        await asyncio.sleep(POLL_INTERVAL)
        left = select(await _as_they_are(left, folder)) or select(await list_processes(folder))
    return left


async def _as_they_are(processes: list[NginxProcess], folder: Path) -> list[NginxProcess]:
    return await asyncio.to_thread(as_they_are, processes, folder)


async def list_processes(folder: Path) -> list[NginxProcess]:
    return await asyncio.to_thread(processes_in, folder)
