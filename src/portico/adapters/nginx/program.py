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
from portico.adapters.nginx.error_lines import LogTail, explain
from portico.adapters.nginx.generations import (
    MAIN,
    Generation,
    Generations,
    ServedGeneration,
    file_identity,
)
from portico.adapters.nginx.included import read_included
from portico.adapters.nginx.lifecycle import (
    Paths,
    ReloadFailed,
    exits_within,
    is_shutting_down,
    kill_master,
    reload,
    start,
    stop,
)
from portico.adapters.nginx.masters import Masters
from portico.adapters.nginx.processes import Master, group_of, processes_in, workers_of
from portico.adapters.nginx.rotation import close_folders, open_folders, rotate
from portico.adapters.nginx.upgrading import TRIAL_TIME, finish_upgrade, upgrade
from portico.core.model.generation import ReservedSockets, TestedGeneration
from portico.core.model.included import Line
from portico.core.model.place import Build
from portico.core.model.world import NginxSeen
from portico.errors import Failed, Refused
from portico.ports.nginx import NginxActivity
from portico.ports.processes import TcpPorts
from portico.system.home import Home
from portico.system.listening import listening_ports
from portico.system.programs import StartProgram, start_here

log = logging.getLogger(__name__)

RELOAD_TIMEOUT: Final = 60.0  # thousands of sites, each with its certificate
_SHUTDOWN_SETTING: Final = re.compile(r"worker_shutdown_timeout (\d+)s")
SHUTDOWN_TIMEOUT: Final = 60.0
RESOLVE_TIMEOUT: Final = 3.0
"""Seconds in which a worker that got no answer from discovery has surely asked again."""
SHUTDOWN_TIMEOUT_MARGIN: Final = 5.0
NO_ADDRESS: Final = ReservedSockets()


class NginxProgram:
    """Implements `Nginx`. nginx runs apart from this process and outlives it.

    The files say `pid HOME/nginx/nginx.pid`, `error_log HOME/logs/nginx/error.log` and nothing
    of `daemon`. What runs is found again by the folder it runs in, and what it serves by a note
    that is written only after it was seen to serve that.
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
        self._home, self._ports, self._reload_timeout = home, ports, reload_timeout
        self._bootstrap_peers, self._start_program, self._held = (
            bootstrap_peers,
            start_program,
            held,
        )
        folder = home.nginx.resolve()  # as the kernel shows it: processes are known by it
        self._generations, self._caches = Generations(folder), Caches(folder)
        self._logs = (home.logs / "nginx", home.logs / "sites")
        self._paths = Paths(folder, self._generations.main_file, self._logs[0] / "error.log")
        self._binaries = Binaries(start_program=start_program)
        self._build: Build | None = None
        self._masters = Masters(self._paths)
        self._serving = self._generations.serving()
        self._refused = ""
        self._caches_of = 0
        """The generation whose caches are the only ones."""
        self._changing = asyncio.Lock()
        self._reloads = 0
        self._other: Master | None = None
        """Another installation's, whose sockets the next generation is served on."""
        self.inherited_ports: frozenset[int] = frozenset()

    async def build(self, named: str | None, needs: frozenset[str] = frozenset()) -> Build:
        self._build = await self._binaries.find(named, needs)
        return self._build

    async def builds(self) -> list[Build]:
        return await self._binaries.every(self._home.nginx_builds)

    def seen(self) -> NginxSeen:
        """After a crash `live` is what a start would bring back."""
        master, serving = self._masters.running(), self._serving
        pid = master.pid if master else None
        interrupted = self._masters.is_upgrade_interrupted or (
            pid is not None and self._generations.has_bootstrap_peers
        )
        if serving is None or (master and not _is_of_master(serving, master)):
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
        return NginxActivity(sum(each.is_worker for each in found), self._reloads)

    def watch(self, on_exit: Callable[[], None]) -> None:
        self._masters.watch(on_exit)

    async def install(
        self, files: Mapping[str, str], fingerprint: str, build: Build | None = None
    ) -> TestedGeneration:
        build = build or self._build or await self.build(None)
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

    def included(self, path: str) -> tuple[Line, ...]:
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
            ran = self._masters.running() is not None
            await self._set_current(new)
            try:
                await self._bring_up(new)
            except ReloadFailed as error:
                self._refused = new.fingerprint
                await self._set_current(before)
                if before and ran and not (error.reported and self._masters.running()):
                    await self._roll_back(before)
                raise Failed(await self._failure_message(new, before, error)) from None
            self._refused = ""

    async def start(self) -> None:
        async with self._changing:
            if self._masters.running():
                return
            current = await asyncio.to_thread(self._generations.current)
            if current is None:
                raise Failed("cannot start nginx: it has no configuration yet")
            try:
                await self._bring_up(current)
            except ReloadFailed as error:
                why = await explain(str(error), self._paths.folder, self._ports)
                raise Failed(f"cannot start nginx: {why}") from None

    async def inherit(self, pid: int | None) -> None:
        self._forget_other()
        if pid is None:
            return
        other = await asyncio.to_thread(Master.elsewhere, pid)
        if other is None:
            raise Refused(
                f"process {pid} is not the master process of an nginx that this user may replace"
            )
        try:
            self.inherited_ports = await asyncio.to_thread(listening_ports, [pid])
        except OSError as error:
            other.close()
            raise Failed(f"cannot list the sockets of process {pid}: {error.strerror}") from error
        self._other = other

    def _forget_other(self) -> None:
        if self._other:
            self._other.close()
        self._other, self.inherited_ports = None, frozenset()

    async def upgrade(self, build: Build | None) -> None:
        async with self._changing:
            master = await self._serving_master()
            current = await asyncio.to_thread(self._generations.current)
            if build is None or current is None or master is None:
                return
            new = replace(current, program=build.program, version=build.version_text)
            if self._is_outdated or await self._must_be_replaced(master, new):
                await self._replace(current, new)

    async def stop(
        self, *, graceful: bool, should_abort: Callable[[], bool] = lambda: False
    ) -> None:
        """Requests under way get as long as the files grant them (`worker_shutdown_timeout`)."""
        async with self._changing:
            self._masters.release()
            self._serving = None
            await asyncio.to_thread(self._generations.record_serving, None)
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
            if moved and (master := self._masters.running()):
                await asyncio.to_thread(self._open_logs, master)
                master.signal(signal.SIGUSR1)
        return troubles

    async def check_caches(self) -> None:
        await asyncio.to_thread(self._caches.check_room)
        if not self._changing.locked():  # else in the next look
            async with self._changing:
                current = await asyncio.to_thread(self._generations.current)
                if current is not None and current.number != self._caches_of:
                    text = await asyncio.to_thread(_text, self._generations.main_file)
                    await asyncio.to_thread(self._caches.retire, text)
                    self._caches_of = current.number
        await asyncio.to_thread(self._caches.remove_retired)

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
            await self._bring_up(new)
        except (Failed, ReloadFailed) as error:
            why = await explain(str(error), self._paths.folder, self._ports)
            if not self._masters.running():
                await self._roll_back(current)
            holds = (
                "the previous nginx keeps serving"
                if self._masters.running()
                else "nginx is not running"
            )
            raise Failed(
                f"cannot replace nginx with {new.version} ({new.program}): {why}; {holds}"
            ) from None

    async def _bring_up(self, generation: Generation) -> None:
        """Have the current files served, by their program, and record that they are."""
        master = await self._serving_master()
        if master and self._other:  # it would have to be started to inherit; it has no clients yet
            self._masters.release()
            await stop(self._paths.folder, grace_period=0.0, should_abort=lambda: False)
            master = None
        if master and await self._must_be_replaced(master, generation):
            await kill_master(master)
            self._masters.release()
            master = None
        if master and not self._is_outdated:
            await reload(master, self._paths, self._reload_timeout)
            self._reloads += 1
            await self._record_serving(
                generation, master, self._serving.file if self._serving else ""
            )
        else:
            await self._start_master(generation, master)

    async def _must_be_replaced(self, master: Master, generation: Generation) -> bool:
        serving = self._serving
        other = serving is not None and serving.generation.program != generation.program
        asks_elsewhere = bool(self._held.address) and not self._asks_here(serving)
        return other or asks_elsewhere or await is_shutting_down(master, self._paths.folder)

    def _asks_here(self, serving: ServedGeneration | None) -> bool:
        """Whether its upstreams ask at the address that we answer at."""
        return serving is not None and serving.generation.discovery == self._held.address

    @property
    def _is_outdated(self) -> bool:
        return self._serving is not None and self._serving.is_outdated

    async def _start_master(self, generation: Generation, old: Master | None) -> None:
        """Start a master, by the old one if there is one."""
        if generation.discovery not in {"", self._held.address}:
            where = f"discovery at {generation.discovery}, where another program may answer"
            raise ReloadFailed(f"its files ask {where}", reported=True)
        await asyncio.to_thread(self._make_folders)
        program = await self._program(generation)
        file = await asyncio.to_thread(file_identity, program)
        bootstrap_peers = self._bootstrap_peers() if self._serving else {}
        await asyncio.to_thread(self._generations.write_bootstrap_peers, bootstrap_peers)
        try:
            if old:
                master = await upgrade(old, self._paths)
            else:
                master = await start(
                    program, self._paths, self._start_program, self._held.sockets, self._other
                )
        except ReloadFailed:
            await asyncio.to_thread(self._generations.remove_bootstrap_peers)
            raise
        finally:
            self._forget_other()
        self._masters.promote(master, old)
        version = await self._version(program) or generation.version
        await self._record_serving(
            replace(generation, program=program, version=version), master, file
        )
        # Unless it dies, discovery has answered its workers by then.
        if bootstrap_peers and not old and await exits_within(master, TRIAL_TIME):
            raise ReloadFailed("its master process died after the start", reported=False)
        await self._remove_bootstrap_peers(master)

    async def _serving_master(self) -> Master | None:
        """The master that serves, after an upgrade that an earlier daemon began is finished."""
        master = await self._masters.find()
        if (old := self._masters.interrupted_upgrade()) is not None:
            try:
                master = await finish_upgrade(old, self._paths, LogTail(self._paths.error_log))
            except ReloadFailed as error:
                log.warning("nginx keeps its old program: %s", error)
                self._masters.track(old)
                master = old
            else:
                self._masters.promote(master, old)
                await self._note_found(master)
        if master and self._generations.has_bootstrap_peers:
            await asyncio.sleep(RESOLVE_TIMEOUT)  # no daemon answered, until we did
            await self._remove_bootstrap_peers(master)
        return master

    async def _note_found(self, master: Master) -> None:
        current = await asyncio.to_thread(self._generations.current)
        if current is not None:
            version = await self._version(current.program) or current.version
            file = await asyncio.to_thread(file_identity, current.program)
            await self._record_serving(replace(current, version=version), master, file)

    async def _remove_bootstrap_peers(self, master: Master) -> None:
        """From now on discovery alone says where instances are."""
        if await asyncio.to_thread(self._generations.remove_bootstrap_peers):
            try:
                await reload(master, self._paths, self._reload_timeout)
            except ReloadFailed as error:
                log.warning("nginx keeps the peers that it started with: %s", error)

    async def _record_serving(self, generation: Generation, master: Master, file: str) -> None:
        self._serving = ServedGeneration(generation, master.pid, master.started, file)
        try:
            await asyncio.to_thread(self._generations.record_serving, self._serving)
        except OSError as error:  # a later daemon will reload once more than it had to
            log.warning("cannot record which generation nginx serves: %s", error)

    async def _version(self, program: str) -> str:
        with contextlib.suppress(Refused):
            return (await self._binaries.inspect(program)).version_text
        return ""

    async def _program(self, generation: Generation) -> str:
        """The one that tested it, or today's if that one has been moved or removed."""
        if await asyncio.to_thread(os.access, generation.program, os.X_OK):
            return generation.program
        return (self._build or await self.build(None)).program

    async def _roll_back(self, before: Generation) -> None:
        with contextlib.suppress(ReloadFailed):  # the first reason is the one to report
            await self._bring_up(before)

    async def _failure_message(
        self, new: Generation, before: Generation | None, error: ReloadFailed
    ) -> str:
        why = await explain(str(error), self._paths.folder, self._ports)
        if before and self._masters.running():
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


def _is_of_master(serving: ServedGeneration, master: Master) -> bool:
    return (serving.pid, serving.started) == (master.pid, master.started)


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
