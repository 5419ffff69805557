"""Folders that may not answer, as those on an NFS whose server is down.

Who reads such a folder waits in the kernel, for hours. The pool of threads that all parts of the
daemon share would be used up by a few commands, so that a thread of its own asks them first.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from portico.errors import Failed

ANSWER_TIMEOUT: Final = 10.0
"""Seconds; a busy disk answers in less."""
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


class Mounts:
    """At most one thread waits for each mount, however often it is asked."""

    def __init__(
        self,
        ask: Callable[[str], object] = os.statvfs,
        points: Callable[[], Iterable[str]] | None = None,
        timeout: float = ANSWER_TIMEOUT,
    ) -> None:
        """`ask` is statvfs(2), which NFS answers from no cache; `points` reads where something is
        mounted.
        """
        self._ask, self._points, self._timeout = ask, points or _mount_points, timeout
        self._waiting: dict[str, _Question] = {}
        """By mount, the thread that waits for it."""

    async def assert_answer(self, folders: Iterable[str]) -> None:
        """Ask each mount, in the order of the folders. Raises Failed where one does not answer in
        time, and at once where it has not answered since an earlier call.
        """
        points = list(self._points())
        asked: dict[str, str] = {}
        for folder in folders:
            asked.setdefault(mount_of(folder, points), folder)
        self._waiting = {at: each for at, each in self._waiting.items() if each.is_alive()}
        for mount in asked.keys() & self._waiting.keys():
            raise _no_answer(asked[mount], mount)
        if not asked:
            return
        question = _Question(self._ask, asked)
        question.start()
        try:
            async with asyncio.timeout(self._timeout):
                await question.answered.wait()
        except TimeoutError:
            self._waiting[question.mount] = question
            raise _no_answer(asked[question.mount], question.mount) from None


class _Question(threading.Thread):
    """The daemon does not wait for it at its end."""

    def __init__(self, ask: Callable[[str], object], asked: Mapping[str, str]) -> None:
        super().__init__(name="mounts", daemon=True)
        self._ask, self._asked = ask, asked
        self._loop = asyncio.get_running_loop()
        self.answered, self.mount = asyncio.Event(), next(iter(asked), "")

    def run(self) -> None:
        for mount, folder in self._asked.items():
            self.mount = mount
            with suppress(OSError, ValueError):  # who reads it says so
                self._ask(folder)
        with suppress(RuntimeError):  # the daemon has ended
            self._loop.call_soon_threadsafe(self.answered.set)


def mount_of(folder: str, points: Iterable[str]) -> str:
    """The innermost mount that has the folder by its path; of the root, where any folder may be a
    link to another mount, the folder itself.
    """
    path = os.path.normpath(folder)
    above = [each for each in points if each != "/" and f"{path}/".startswith(f"{each}/")]
    return max(above, key=len, default=path)


def _mount_points() -> list[str]:
    """proc_pid_mountinfo(5): the fifth field, with what is special in octal. None where there is
    no such file.
    """
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    return [_ESCAPED.sub(lambda it: chr(int(it[1], 8)), each.split(" ")[4]) for each in lines]


def _no_answer(folder: str, mount: str) -> Failed:
    where = f"its mount {mount}" if mount != os.path.normpath(folder) else "its disk"
    return Failed(
        f"cannot read {folder} because {where} does not answer, as an NFS whose server is down; "
        "nothing was changed"
    )
