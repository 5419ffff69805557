"""The master process that serves, and which generation it serves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from portico.adapters.nginx.binary import Binaries
from portico.adapters.nginx.error_lines import LogTail
from portico.adapters.nginx.generations import (
    Generation,
    Generations,
    ServedGeneration,
    file_identity,
)
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
from portico.adapters.nginx.processes import Master
from portico.adapters.nginx.upgrading import TRIAL_TIME, finish_upgrade, upgrade
from portico.core.model.generation import ReservedSockets
from portico.core.model.place import Build
from portico.errors import Failed, Refused
from portico.system.listening import listening_ports
from portico.system.programs import StartProgram

log = logging.getLogger(__name__)

RELOAD_TIMEOUT: Final = 60.0  # thousands of sites, each with its certificate
RESOLVE_TIMEOUT: Final = 3.0
"""Seconds in which a worker that got no answer from discovery has surely asked again."""


class ServingMaster:
    """What runs is found again by the folder it runs in, and what it serves by a note that is
    written only after it was seen to serve that. `NginxProgram` has one caller at a time here.
    """

    def __init__(  # noqa: PLR0913 - what an nginx is started with
        self,
        paths: Paths,
        generations: Generations,
        binaries: Binaries,
        held: ReservedSockets,
        *,
        bootstrap_peers: Callable[[], Mapping[str, str]],
        default_build: Callable[[], Awaitable[Build]],
        make_folders: Callable[[], None],
        reload_timeout: float,
        start_program: StartProgram,
    ) -> None:
        self._paths, self._generations, self._binaries = paths, generations, binaries
        self._held, self._bootstrap_peers = held, bootstrap_peers
        self._default_build, self._make_folders = default_build, make_folders
        self._reload_timeout, self._start_program = reload_timeout, start_program
        self._masters = Masters(paths)
        self.running, self.watch = self._masters.running, self._masters.watch
        self.served = generations.served_generation()
        """What it serves, or served when it was seen last."""
        self.reloads = 0
        self._other: Master | None = None
        """Another installation's, whose sockets the next generation is served on."""
        self.inherited_ports: frozenset[int] = frozenset()

    @property
    def is_upgrade_interrupted(self) -> bool:
        """Also where it runs and still has the peers that it was started with."""
        return self._masters.is_upgrade_interrupted or (
            self._generations.has_bootstrap_peers and self.running() is not None
        )

    async def forget(self) -> None:
        """It is to be stopped."""
        self._masters.release()
        self.served = None
        await asyncio.to_thread(self._generations.record_serving, None)

    async def bring_up(self, generation: Generation) -> None:
        """Have the current files served, by their program, and record that they are."""
        master = await self.find()
        if master and self._other:  # it would have to be started to inherit; it has no clients yet
            self._masters.release()
            await stop(self._paths.folder, grace_period=0.0, should_abort=lambda: False)
            master = None
        if master and await self.must_be_replaced(master, generation):
            await kill_master(master)
            self._masters.release()
            master = None
        if master and not self.is_outdated:
            await reload(master, self._paths, self._reload_timeout)
            self.reloads += 1
            await self._record_serving(generation, master, self.served.file if self.served else "")
        else:
            await self._start_master(generation, master)

    async def must_be_replaced(self, master: Master, generation: Generation) -> bool:
        serving = self.served
        other = serving is not None and serving.generation.program != generation.program
        asks_elsewhere = bool(self._held.address) and not self._asks_here(serving)
        return other or asks_elsewhere or await is_shutting_down(master, self._paths.folder)

    def _asks_here(self, serving: ServedGeneration | None) -> bool:
        """Whether its upstreams ask at the address that we answer at."""
        return serving is not None and serving.generation.discovery == self._held.address

    @property
    def is_outdated(self) -> bool:
        return self.served is not None and self.served.is_outdated

    async def _start_master(self, generation: Generation, old: Master | None) -> None:
        """Start a master, by the old one if there is one."""
        if generation.discovery not in {"", self._held.address}:
            where = f"discovery at {generation.discovery}, where another program may answer"
            raise ReloadFailed(f"its files ask {where}", reported=True)
        await asyncio.to_thread(self._make_folders)
        program = await self._program(generation)
        file = await asyncio.to_thread(file_identity, program)
        bootstrap_peers = self._bootstrap_peers() if self.served else {}
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

    async def find(self) -> Master | None:
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
        self.served = ServedGeneration(generation, master.pid, master.started, file)
        try:
            await asyncio.to_thread(self._generations.record_serving, self.served)
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
        return (await self._default_build()).program

    async def inherit(self, pid: int | None) -> None:
        """As `Nginx.inherit`."""
        self._forget_other()
        if pid is None:
            return
        other = await asyncio.to_thread(Master.of_other_folder, pid)
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


def is_of_master(serving: ServedGeneration, master: Master) -> bool:
    return (serving.pid, serving.started) == (master.pid, master.started)
