"""The one nginx of this installation: the master process, its files and its logs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from portico.adapters.nginx.binary import Binaries
from portico.adapters.nginx.complaints import explain
from portico.adapters.nginx.generations import MAIN, Generation, Generations, Serving
from portico.adapters.nginx.lifecycle import NotTaken, Paths, end, launch, orphan, reload
from portico.adapters.nginx.processes import Master, group_of, processes_in, workers_of
from portico.adapters.nginx.rotation import rotate
from portico.core.model.place import Build
from portico.core.model.world import NginxSeen
from portico.errors import Failed
from portico.ports import Ports, Tested
from portico.system.home import Home

log = logging.getLogger(__name__)

TEST_WITHIN: Final = 60.0
"""Seconds. nginx asks the system for the addresses of outside servers while it tests."""
RELOAD_WITHIN: Final = 60.0  # thousands of sites, each with its certificate
SHUTDOWN: Final = re.compile(r"worker_shutdown_timeout (\d+)s")
PATIENCE: Final = 60.0
MORE_PATIENCE: Final = 5.0


class NginxProgram:
    """Implements `Nginx`. nginx runs apart from this process and outlives it.

    The files say `pid HOME/nginx/nginx.pid`, `error_log HOME/logs/nginx/error.log` and nothing
    of `daemon`. What runs is found again by the folder it runs in, and what it serves by a note
    that is written only after it was seen to serve that.
    """

    def __init__(self, home: Home, ports: Ports, reload_within: float = RELOAD_WITHIN) -> None:
        self._home, self._ports, self._reload_within = home, ports, reload_within
        folder = home.nginx.resolve()  # as the kernel shows it: processes are known by it
        self._generations = Generations(folder)
        self._logs = (home.logs / "nginx", home.logs / "sites")
        self._paths = Paths(folder, self._generations.main_file, self._logs[0] / "error.log")
        self._binaries = Binaries()
        self._build: Build | None = None
        self._master: Master | None = None
        self._serving = self._generations.serving()
        self._refused = ""
        self._on_exit: Callable[[], None] | None = None
        self._changing = asyncio.Lock()

    async def build(self, named: str | None, needs: frozenset[str] = frozenset()) -> Build:
        self._build = await self._binaries.find(named, needs)
        return self._build

    def seen(self) -> NginxSeen:
        """After an unwanted death `live` is what a start would bring back."""
        master, serving = self._running(), self._serving
        pid = master.pid if master else None
        if serving is None or (master and not _is_by(serving, master)):
            return NginxSeen(pid, refused=self._refused)
        generation = serving.generation
        return NginxSeen(pid, generation.number, generation.fingerprint, self._refused)

    def watch(self, on_exit: Callable[[], None]) -> None:
        master, self._on_exit = self._running(), on_exit
        if master:
            asyncio.get_running_loop().add_reader(master.pidfd, self._died)

    async def install(self, files: Mapping[str, str], fingerprint: str) -> Tested:
        build = self._build or await self.build(None)
        async with self._changing:
            await asyncio.to_thread(self._make_folders)
            try:
                generation = await asyncio.to_thread(
                    self._generations.write, files, fingerprint, build.program
                )
            except OSError as error:
                why = f"cannot write the new files of nginx: {error}; what is live stays"
                raise Failed(why) from error
            try:
                await self._test(generation)
            except BaseException:
                await asyncio.to_thread(self._generations.remove, generation.number)
                raise
            await asyncio.to_thread(self._generations.prune)
        return Tested(generation.number, generation.fingerprint)

    async def switch(self, generation: Tested) -> None:
        async with self._changing:
            new = await asyncio.to_thread(self._generations.read, generation.number)
            if new is None:
                raise Failed(
                    f"cannot switch nginx to generation {generation.number}: its files have "
                    "been removed since they were tested; nothing was changed"
                )
            before = await asyncio.to_thread(self._generations.current)
            ran = self._running() is not None
            await self._point(new)
            try:
                await self._bring_up(new)
            except NotTaken as error:
                self._refused = new.fingerprint
                await self._point(before)
                if before and ran and not (error.certain and self._running()):
                    await self._go_back(before)
                raise Failed(await self._why_not(new, before, error)) from None
            self._refused = ""

    async def start(self) -> None:
        async with self._changing:
            if self._running():
                return
            current = await asyncio.to_thread(self._generations.current)
            if current is None:
                raise Failed("cannot start nginx: it has been given no files yet")
            try:
                await self._bring_up(current)
            except NotTaken as error:
                why = await explain(str(error), self._paths.folder, self._ports)
                raise Failed(f"cannot start nginx: {why}") from None

    async def stop(self, *, graceful: bool) -> None:
        """Requests under way get as long as the files grant them (`worker_shutdown_timeout`)."""
        async with self._changing:
            self._release()
            self._serving = None
            await asyncio.to_thread(self._generations.serves, None)
            left = await end(
                self._paths.folder, graceful=graceful, patience=await self._patience()
            )
        if left:
            pids = ", ".join(str(process.pid) for process in left)
            raise Failed(f"cannot stop nginx: the kernel does not end its processes {pids}")

    def reopen_logs(self) -> None:
        if master := self._running():
            master.signal(signal.SIGUSR1)

    async def rotate(self, max_size: int, keep: int) -> Mapping[str, str | None]:
        """Number the log files that are larger; what went wrong for each, by path."""
        async with self._changing:
            moved, troubles = await asyncio.to_thread(
                rotate,
                [*self._logs[1].glob("*.log"), *self._logs[0].glob("error.log")],
                max_size,
                keep,
            )
            if moved:
                self.reopen_logs()
        return troubles

    async def _test(self, generation: Generation) -> None:
        main_file = self._generations.folder(generation.number) / MAIN
        try:
            process = await asyncio.create_subprocess_exec(
                generation.program,
                *self._paths.arguments(main_file),
                *("-t", "-q", "-e", "stderr"),
                cwd=self._paths.folder,
                env={},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise Failed(f"cannot run {generation.program}: {error.strerror}") from error
        try:
            async with asyncio.timeout(TEST_WITHIN):
                _, said = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise Failed(
                f"nginx did not finish testing the new files within {TEST_WITHIN:g} seconds; "
                "can the names of outside servers be resolved? What is live stays"
            ) from None
        if process.returncode:
            why = await explain(said.decode(errors="replace"), self._paths.folder, self._ports)
            raise Failed(f"nginx does not accept the new files: {why}; what is live stays")

    async def _point(self, generation: Generation | None) -> None:
        try:
            await asyncio.to_thread(self._generations.point, generation)
        except OSError as error:
            raise Failed(
                f"cannot say which files nginx is to read: {error}; nginx serves what it served"
            ) from error

    async def _bring_up(self, generation: Generation) -> None:
        """Have the current files served, and note that they are."""
        master = self._running() or await self._unrecorded()
        if master and self._serving and self._serving.generation.program != generation.program:
            await orphan(master, self._paths.folder)
            self._release()
            master = None
        if master:
            await reload(master, self._paths, self._reload_within)
        else:
            await asyncio.to_thread(self._make_folders)
            master = await launch(await self._program(generation), self._paths)
            self._hold(master)
        self._serving = Serving(generation, master.pid, master.started)
        try:
            await asyncio.to_thread(self._generations.serves, self._serving)
            await asyncio.to_thread(self._admit_workers, master)
        except OSError as error:  # a later daemon will reload once more than it had to
            log.warning("cannot note what nginx serves now: %s", error)

    async def _unrecorded(self) -> Master | None:
        """A master whose pid file somebody removed: a second one would listen beside it."""
        if found := await asyncio.to_thread(Master.running_in, self._paths.folder):
            self._hold(found)
        return found

    async def _program(self, generation: Generation) -> str:
        """The one that tested it, or today's if that one has been moved or removed."""
        if await asyncio.to_thread(os.access, generation.program, os.X_OK):
            return generation.program
        return (self._build or await self.build(None)).program

    async def _go_back(self, before: Generation) -> None:
        with contextlib.suppress(NotTaken):  # the first reason is the one to tell
            await self._bring_up(before)

    async def _why_not(self, new: Generation, before: Generation | None, error: NotTaken) -> str:
        why = await explain(str(error), self._paths.folder, self._ports)
        if before and self._running():
            holds = f"generation {before.number} stays in force"
        else:
            holds = "nginx does not run"
        return f"nginx did not take over generation {new.number}: {why}; {holds}"

    async def _patience(self) -> float:
        text = await asyncio.to_thread(_text, self._generations.main_file)
        granted = SHUTDOWN.search(text)
        return (float(granted[1]) if granted else PATIENCE) + MORE_PATIENCE

    def _make_folders(self) -> None:
        """What is in them is nginx's matter; nobody else may look into its logs."""
        (self._home.nginx / "temp").mkdir(mode=0o711, parents=True, exist_ok=True)
        for folder in self._logs:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _admit_workers(self, master: Master) -> None:
        """Told to reopen their logs, workers of another user do it by the path: without a way
        to it they would write to the renamed file for ever.
        """
        workers = workers_of(master, processes_in(self._paths.folder))
        group = next((found for worker in workers if (found := group_of(worker))), None)
        if group is None or os.geteuid() != 0:
            return
        for folder in (self._home.logs, *self._logs):
            os.chown(folder, -1, group)
            folder.chmod(0o710)

    def _running(self) -> Master | None:
        if self._master and not self._master.is_running():
            self._died()
        if self._master is None and (found := Master.from_pid_file(self._paths.pid_file)):
            self._hold(found)
        return self._master

    def _hold(self, master: Master) -> None:
        self._release()
        self._master = master
        if self._on_exit:
            asyncio.get_running_loop().add_reader(master.pidfd, self._died)

    def _release(self) -> None:
        if self._master is None:
            return
        if self._on_exit:
            asyncio.get_running_loop().remove_reader(self._master.pidfd)
        self._master.close()
        self._master = None

    def _died(self) -> None:
        self._release()
        if self._on_exit:
            self._on_exit()


def _is_by(serving: Serving, master: Master) -> bool:
    return (serving.pid, serving.started) == (master.pid, master.started)


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
