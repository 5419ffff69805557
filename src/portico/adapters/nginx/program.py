"""The one nginx of this installation: the master process, its files and its logs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from portico.adapters.nginx.binary import Binaries
from portico.adapters.nginx.caches import Caches
from portico.adapters.nginx.config_test import run_config_test
from portico.adapters.nginx.error_lines import explain
from portico.adapters.nginx.generations import (
    MAIN,
    Generation,
    Generations,
)
from portico.adapters.nginx.include_reader import read_included
from portico.adapters.nginx.lifecycle import (
    Paths,
    ReloadFailed,
    stop,
)
from portico.adapters.nginx.processes import Master, group_of, processes_in, workers_of
from portico.adapters.nginx.rotation import close_folders, open_folders, rotate
from portico.adapters.nginx.serving_master import RELOAD_TIMEOUT, ServingMaster, is_of_master
from portico.core.model.generation import ReservedSockets, TestedGeneration
from portico.core.model.nginx_lines import Line
from portico.core.model.place import Build
from portico.core.model.world import NginxActivity, NginxSeen
from portico.errors import Failed
from portico.ports.processes import TcpPorts
from portico.system.home import Home
from portico.system.programs import StartProgram, start_here

log = logging.getLogger(__name__)

_SHUTDOWN_SETTING: Final = re.compile(r"worker_shutdown_timeout (\d+)s")
SHUTDOWN_TIMEOUT: Final = 60.0
SHUTDOWN_TIMEOUT_MARGIN: Final = 5.0
NO_ADDRESS: Final = ReservedSockets()


class NginxProgram:
    """Implements `Nginx`. nginx runs apart from this process and outlives it.

    The files say `pid HOME/nginx/nginx.pid`, `error_log HOME/logs/nginx/error.log` and nothing
    of `daemon`.
    """

    def __init__(
        self,
        home: Home,
        ports: TcpPorts,
        reload_timeout: float = RELOAD_TIMEOUT,
        bootstrap_peers: Callable[[], Mapping[str, str]] = dict,
        start_program: StartProgram = start_here,
        held: ReservedSockets = NO_ADDRESS,
    ) -> None:
        """`bootstrap_peers` says which peers an nginx begins with that takes the place of another:
        files by name, which the files of a generation include from HOME/nginx/seeds. `held` is
        where all files that are installed ask discovery: nginx keeps that port from others.
        """
        self._home, self._ports = home, ports
        self._start_program, self._held = start_program, held
        folder = home.nginx.resolve()  # as the kernel shows it: processes are known by it
        self._generations, self._caches = Generations(folder), Caches(folder)
        self._logs = (home.logs / "nginx", home.logs / "sites")
        self._paths = Paths(folder, self._generations.main_file, self._logs[0] / "error.log")
        self._binaries = Binaries(start_program=start_program)
        self._build: Build | None = None
        self._master = ServingMaster(
            self._paths,
            self._generations,
            self._binaries,
            held,
            bootstrap_peers=bootstrap_peers,
            default_build=self._default_build,
            make_folders=self._make_folders,
            reload_timeout=reload_timeout,
            start_program=start_program,
        )
        self._refused = ""
        self._caches_of = 0
        """The generation whose caches are the only ones."""
        self._changing = asyncio.Lock()

    async def build(self, named: str | None, needs: frozenset[str] = frozenset()) -> Build:
        self._build = await self._binaries.find(named, needs)
        return self._build

    async def _default_build(self) -> Build:
        return self._build or await self.build(None)

    async def builds(self) -> list[Build]:
        return await self._binaries.find_all(self._home.nginx_builds)

    def observe(self) -> NginxSeen:
        """After a crash `live` is what a start would bring back."""
        master, serving = self._master.running(), self._master.served
        pid, interrupted = master.pid if master else None, self._master.is_upgrade_interrupted
        if serving is None or (master and not is_of_master(serving, master)):
            return NginxSeen(pid, refused=self._refused, is_upgrade_interrupted=interrupted)
        generation = serving.generation
        return NginxSeen(
            pid,
            generation.number,
            serving.fingerprint(self._held.address),
            self._refused,
            program=generation.program,
            version=generation.version,
            outdated=serving.is_outdated,
            is_upgrade_interrupted=interrupted,
        )

    async def activity(self) -> NginxActivity:
        found = await asyncio.to_thread(processes_in, self._paths.folder)
        return NginxActivity(sum(each.is_worker for each in found), self._master.reloads)

    def watch(self, on_exit: Callable[[], None]) -> None:
        self._master.watch(on_exit)

    async def install(
        self, files: Mapping[str, str], fingerprint: str, build: Build | None = None
    ) -> TestedGeneration:
        build = build or await self._default_build()
        async with self._changing:
            await asyncio.to_thread(self._make_folders)
            try:
                generation = await asyncio.to_thread(
                    self._generations.write, files, fingerprint, build, self._held.address
                )
            except OSError as error:
                why = (
                    f"cannot write the new files of nginx: {error}; the running configuration is "
                    "unchanged"
                )
                raise Failed(why) from error
            try:
                await self._test(generation)
            except BaseException:
                await asyncio.to_thread(self._generations.remove, generation.number)
                raise
            await asyncio.to_thread(self._generations.prune)
        return TestedGeneration(generation.number, generation.fingerprint)

    def read_included(self, path: str) -> tuple[Line, ...]:
        return read_included(path)

    async def discard(self, generation: TestedGeneration) -> None:
        async with self._changing:
            await asyncio.to_thread(self._generations.remove, generation.number)

    async def switch(self, generation: TestedGeneration) -> None:
        async with self._changing:
            new = await asyncio.to_thread(self._generations.read, generation.number)
            if new is None:
                raise Failed(
                    f"cannot switch nginx to generation {generation.number}: its files have "
                    "been removed since they were tested; nothing was changed"
                )
            before = await asyncio.to_thread(self._generations.current)
            ran = self._master.running() is not None
            await self._set_current(new)
            try:
                await self._master.bring_up(new)
            except ReloadFailed as error:
                self._refused = new.fingerprint
                await self._set_current(before)
                if before and ran and not (error.reported and self._master.running()):
                    await self._roll_back(before)
                raise Failed(await self._failure_message(new, before, error)) from None
            self._refused = ""

    @property
    def inherited_ports(self) -> frozenset[int]:
        return self._master.inherited_ports

    async def inherit(self, pid: int | None) -> None:
        await self._master.inherit(pid)

    async def start(self) -> None:
        async with self._changing:
            if self._master.running():
                return
            current = await asyncio.to_thread(self._generations.current)
            if current is None:
                raise Failed("cannot start nginx: it has no configuration yet")
            try:
                await self._master.bring_up(current)
            except ReloadFailed as error:
                why = await explain(str(error), self._paths.folder, self._ports)
                raise Failed(f"cannot start nginx: {why}") from None

    async def upgrade(self, build: Build | None) -> None:
        async with self._changing:
            master = await self._master.find()
            current = await asyncio.to_thread(self._generations.current)
            if build is None or current is None or master is None:
                return
            new = replace(current, program=build.program, version=build.version_text)
            if self._master.is_outdated or await self._master.must_be_replaced(master, new):
                await self._replace(current, new)

    async def stop(
        self, *, graceful: bool, should_abort: Callable[[], bool] = lambda: False
    ) -> None:
        """Requests under way get as long as the files grant them (`worker_shutdown_timeout`)."""
        async with self._changing:
            await self._master.forget()
            grace_period = await self._grace_period() if graceful else 0.0
            left = await stop(
                self._paths.folder, grace_period=grace_period, should_abort=should_abort
            )
        await asyncio.to_thread(self._caches.retire, "")
        await asyncio.to_thread(self._caches.remove_retired)
        if left:
            pids = ", ".join(str(process.pid) for process in left)
            raise Failed(f"cannot stop nginx: its processes {pids} did not exit")

    async def rotate(self, max_size: int, keep: int) -> Mapping[str, str | None]:
        """Number the log files that are larger; what went wrong for each, by path."""
        async with self._changing:
            await asyncio.to_thread(close_folders, (self._home.logs, *self._logs))
            moved, troubles = await asyncio.to_thread(
                rotate,
                [*self._logs[1].glob("*.log"), *self._logs[0].glob("error.log")],
                max_size,
                keep,
            )
            if moved and (master := self._master.running()):
                await asyncio.to_thread(self._open_logs, master)
                master.signal(signal.SIGUSR1)
        return troubles

    async def check_caches(self) -> None:
        number = await asyncio.to_thread(self._look_at_caches)
        if number not in {0, self._caches_of} and not self._changing.locked():  # else later
            async with self._changing:
                await asyncio.to_thread(self._retire_caches)
            await asyncio.to_thread(self._caches.remove_retired)

    def _look_at_caches(self) -> int:
        """The number of the current generation; 0 if there is none."""
        self._caches.check_room()
        self._caches.remove_retired()
        current = self._generations.current()
        return current.number if current else 0

    def _retire_caches(self) -> None:
        if current := self._generations.current():
            self._caches.retire(_text(self._generations.main_file))
            self._caches_of = current.number

    async def purge(self, names: Collection[str], keys: Collection[str]) -> int:
        return await asyncio.to_thread(self._caches.purge, names, keys)

    async def _set_current(self, generation: Generation | None) -> None:
        try:
            await asyncio.to_thread(self._generations.set_current, generation)
        except OSError as error:
            raise Failed(
                f"cannot switch nginx to the new files: {error}; the running configuration is "
                "unchanged"
            ) from error

    async def _test(self, generation: Generation) -> None:
        main_file = self._generations.folder(generation.number) / MAIN
        await run_config_test(
            generation.program, main_file, self._paths, self._ports, self._start_program
        )

    async def _replace(self, current: Generation, new: Generation) -> None:
        """Have another program serve the same files."""
        try:
            await self._test(new)
            await self._master.bring_up(new)
        except (Failed, ReloadFailed) as error:
            why = await explain(str(error), self._paths.folder, self._ports)
            if not self._master.running():
                await self._roll_back(current)
            holds = (
                "the previous nginx keeps serving"
                if self._master.running()
                else "nginx is not running"
            )
            raise Failed(
                f"cannot replace nginx with {new.version} ({new.program}): {why}; {holds}"
            ) from None

    async def _roll_back(self, before: Generation) -> None:
        with contextlib.suppress(ReloadFailed):  # the first reason is the one to report
            await self._master.bring_up(before)

    async def _failure_message(
        self, new: Generation, before: Generation | None, error: ReloadFailed
    ) -> str:
        why = await explain(str(error), self._paths.folder, self._ports)
        if before and self._master.running():
            holds = f"generation {before.number} remains in force"
        else:
            holds = "nginx is not running"
        return f"nginx did not load generation {new.number}: {why}; {holds}"

    async def _grace_period(self) -> float:
        text = await asyncio.to_thread(_text, self._generations.main_file)
        granted = _SHUTDOWN_SETTING.search(text)
        return (float(granted[1]) if granted else SHUTDOWN_TIMEOUT) + SHUTDOWN_TIMEOUT_MARGIN

    def _make_folders(self) -> None:
        """For nginx alone; no other user may read its logs."""
        (self._home.nginx / "temp").mkdir(mode=0o711, parents=True, exist_ok=True)
        for folder in self._logs:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._caches.make()

    def _open_logs(self, master: Master) -> None:
        """Workers of another user reopen their logs by path: without access to the folders they
        would keep writing to the renamed file. Access ends at the next rotation: nginx gives the
        files to its workers, who would serve them to anybody with a link in a static folder.
        """
        workers = workers_of(master, processes_in(self._paths.folder))
        group = next((found for worker in workers if (found := group_of(worker))), None)
        if group is not None and os.geteuid() == 0:
            open_folders((self._home.logs, *self._logs), group)


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
