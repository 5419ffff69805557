"""The master process that serves, watched by a pidfd; and the one that it has replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from portico.adapters.nginx.lifecycle import Paths
from portico.adapters.nginx.processes import Master


class Masters:
    """Each is held by a pidfd, so that its number cannot come to mean another process."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._serving: Master | None = None
        self._old_master: Master | None = None
        """The one before, which finishes its requests and exits."""
        self._on_exit: Callable[[], None] | None = None

    def running(self) -> Master | None:
        if self._serving and not self._serving.is_running():
            self._on_death()
        if self._serving is None:
            files = self._paths.pid_file, self._paths.old_pid_file
            if found := next(filter(None, map(Master.from_pid_file, files)), None):
                self.track(found)
        return self._serving

    async def find(self) -> Master | None:
        """The same, also where its pid file was removed: a second master would listen too."""
        if self.running() is None:
            found = await asyncio.to_thread(Master.running_in, self._paths.folder)
            if found:
                self.track(found)
        return self._serving

    def watch(self, on_exit: Callable[[], None]) -> None:
        master, self._on_exit = self.running(), on_exit
        if master:
            asyncio.get_running_loop().add_reader(master.pidfd, self._on_death)

    def track(self, master: Master) -> None:
        if master is self._serving:
            return
        self.release()
        self._serving = master
        if self._on_exit:
            asyncio.get_running_loop().add_reader(master.pidfd, self._on_death)

    def release(self) -> None:
        if self._serving is None:
            return
        if self._on_exit:
            asyncio.get_running_loop().remove_reader(self._serving.pidfd)
        self._serving.close()
        self._serving = None

    def promote(self, master: Master, old: Master | None) -> None:
        """The new one serves; the old one is watched until it has exited."""
        exiting = old.duplicate() if old else None
        if old and old is not self._serving:
            old.close()
        self.track(master)
        if exiting:
            self._close_old_master()
            self._old_master = exiting
            asyncio.get_running_loop().add_reader(exiting.pidfd, self._close_old_master)

    def interrupted_upgrade(self) -> Master | None:
        """The old master of an upgrade that an earlier daemon began and did not finish."""
        old = Master.from_pid_file(self._paths.old_pid_file)
        if old and self._old_master and old.pid == self._old_master.pid:
            old.close()
            return None
        return old

    @property
    def is_upgrade_interrupted(self) -> bool:
        if old := self.interrupted_upgrade():
            old.close()
        return old is not None

    def _close_old_master(self) -> None:
        if self._old_master:
            asyncio.get_running_loop().remove_reader(self._old_master.pidfd)
            self._old_master.close()
            self._old_master = None

    def _on_death(self) -> None:
        self.release()
        if self._on_exit:
            self._on_exit()
