"""The log files of instances: their last lines, and a limit to what they take of the disk."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from portico.adapters.logs.rotation import rotate
from portico.core.model.desired import Spec
from portico.core.model.instance import LogFiles
from portico.core.model.log_line import LogTail
from portico.system.account import Account, account_if_known
from portico.system.rights import open_file

LAST_BYTES: Final = 1 << 16
_NO_USER: Final = Account()


class FileLogs:
    def __init__(self, folder: Path) -> None:
        """`folder` is PORTICO_HOME/logs."""
        self._folder = folder
        self._begun: dict[str, int] = {}
        """How large a file was when the latest process began to write to it."""

    def files(self, spec: Spec, slot: int) -> LogFiles:
        return LogFiles.of(spec, slot, str(self._folder))

    def begin(self, spec: Spec, slot: int) -> None:
        files = self.files(spec, slot)
        for path in {files.stdout, files.stderr}:
            self._begun[path] = _size(path)

    def offset(self, path: str) -> int:
        begun = self._begun.get(path, 0)
        return begun if begun <= _size(path) else 0

    async def last_lines(self, spec: Spec, slot: int, count: int) -> list[str]:
        files, account = self.files(spec, slot), account_if_known(spec.app.user, spec.app.group)
        found: list[str] = []
        for path in dict.fromkeys((files.stdout, files.stderr)):
            begun = self._begun.get(path, 0)
            found += await asyncio.to_thread(last_lines, path, count, begun, account)
        return found

    async def tail(self, spec: Spec, path: str) -> LogTail:
        account = account_if_known(spec.app.user, spec.app.group)
        lines = await asyncio.to_thread(last_lines, path, LAST_BYTES, 0, account)
        return LogTail(_modified_at(path), lines)

    async def modified_at(self, paths: Sequence[str]) -> Mapping[str, float]:
        return await asyncio.to_thread(lambda: {path: _modified_at(path) for path in paths})

    async def sizes(self, paths: Sequence[str]) -> Mapping[str, int]:
        return await asyncio.to_thread(lambda: {path: _size(path) for path in paths})

    async def rotate(
        self, spec: Spec, path: str, max_size: int, keep: int, *, compresses: bool = False
    ) -> str | None:
        account = account_if_known(spec.app.user, spec.app.group)
        work = partial(rotate, Path(path), max_size, keep, account, compresses=compresses)
        trouble = await asyncio.to_thread(work)
        if self.offset(path) == 0:
            self._begun[path] = 0  # however large it is to grow
        return trouble


def last_lines(path: str, count: int, since: int = 0, account: Account = _NO_USER) -> list[str]:
    """At most `count` lines from the end, none of them from the first `since` bytes.

    A file that is smaller than that was rotated meanwhile, and is looked at from its beginning.
    Bytes that are no UTF-8 are shown as U+FFFD.
    """
    try:
        file = open_file(path, account)
    except OSError:
        return []
    try:
        size = os.fstat(file).st_size
        start = max(since if since <= size else 0, size - LAST_BYTES)
        text = os.pread(file, LAST_BYTES, start).decode(errors="replace")
    except OSError:
        return []
    finally:
        os.close(file)
    lines = text.splitlines()
    is_cut = start > since
    whole = lines[1:] if is_cut and len(lines) > 1 else lines
    return whole[max(0, len(whole) - count) :]


def _modified_at(path: str) -> float:
    try:
        return os.stat(path).st_mtime  # noqa: PTH116 - as `_size`
    except OSError:
        return 0.0


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - asked for every file in every round
    except OSError:
        return 0
