"""The master process that serves, held and watched; and one that another took over from."""

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
        self._overtaken: Master | None = None
        """It finishes what it has; of interest is only that it ends."""
        self._on_exit: Callable[[], None] | None = None

    def running(self) -> Master | None:
        if self._serving and not self._serving.is_running():
            self._died()
        if self._serving is None:
            files = self._paths.pid_file, self._paths.old_pid_file
            if found := next(filter(None, map(Master.from_pid_file, files)), None):
                self.hold(found)
        return self._serving

    async def found(self) -> Master | None:
        """The same, also where somebody removed its pid file: a second master would listen
        beside it.
        """
        if self.running() is None:
            found = await asyncio.to_thread(Master.running_in, self._paths.folder)
            if found:
                self.hold(found)
        return self._serving

    def watch(self, on_exit: Callable[[], None]) -> None:
        master, self._on_exit = self.running(), on_exit
        if master:
            asyncio.get_running_loop().add_reader(master.pidfd, self._died)

    def hold(self, master: Master) -> None:
        if master is self._serving:
            return
        self.release()
        self._serving = master
        if self._on_exit:
            asyncio.get_running_loop().add_reader(master.pidfd, self._died)

    def release(self) -> None:
        if self._serving is None:
            return
        if self._on_exit:
            asyncio.get_running_loop().remove_reader(self._serving.pidfd)
        self._serving.close()
        self._serving = None

    def hand_over(self, master: Master, old: Master | None) -> None:
        """The new one serves; an old one, told to end, is held until it has."""
        overtaken = old.again() if old else None
        if old and old is not self._serving:
            old.close()
        self.hold(master)
        if overtaken:
            self._bury()
            self._overtaken = overtaken
            asyncio.get_running_loop().add_reader(overtaken.pidfd, self._bury)

    def half_overtaken(self) -> Master | None:
        """One that another master was started beside by a daemon that did not live to end this."""
        old = Master.from_pid_file(self._paths.old_pid_file)
        if old and self._overtaken and old.pid == self._overtaken.pid:
            old.close()
            return None
        return old

    @property
    def is_upgrade_interrupted(self) -> bool:
        if old := self.half_overtaken():
            old.close()
        return old is not None

    def _bury(self) -> None:
        if self._overtaken:
            asyncio.get_running_loop().remove_reader(self._overtaken.pidfd)
            self._overtaken.close()
            self._overtaken = None

    def _died(self) -> None:
        self.release()
        if self._on_exit:
            self._on_exit()
