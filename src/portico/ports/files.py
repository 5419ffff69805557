"""Files beside the state: logs, disks, and what is watched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from portico.core.model.desired import Spec
from portico.core.model.instance import LogFiles
from portico.core.model.log_line import LogTail
from portico.core.model.watched import WatchResult, WatchSettings


class Logs(Protocol):
    """The files that instances write their output to."""

    def files(self, spec: Spec, slot: int) -> LogFiles: ...

    def begin(self, spec: Spec, slot: int) -> None:
        """A process is about to start: `last_lines` shows only what is written from now on."""

    def offset(self, path: str) -> int:
        """How many bytes a file had when the latest process began to write to it; 0 if this was
        before the daemon started, or the file was rotated since.
        """

    async def last_lines(self, spec: Spec, slot: int, count: int) -> list[str]:
        """The last lines of standard output and then of standard error, `count` of each at most.

        Reads no more than the last 64 KiB of a file; one that cannot be read has no lines.
        """

    async def tail(self, spec: Spec, path: str) -> LogTail:
        """The last 64 KiB of a file, in whole lines, whichever process wrote them; no lines where
        it cannot be read.
        """

    async def modified_at(self, paths: Sequence[str]) -> Mapping[str, float]:
        """When each was written last, Unix time; 0 where there is no such file."""

    async def sizes(self, paths: Sequence[str]) -> Mapping[str, int]:
        """Bytes, of each; 0 where there is no such file."""

    async def rotate(
        self, spec: Spec, path: str, max_size: int, keep: int, *, compresses: bool = False
    ) -> str | None:
        """Move what a file larger than `max_size` holds to PATH.1; it stays open for writing. An
        older one is compressed on request.
        Where the app's user can write its folder, this is done with that user's rights.

        Returns None, or why this could not be done (a full disk, …); it never raises.
        """


class Disks(Protocol):
    async def full_disks(self, folders: Iterable[str]) -> Mapping[str, str]:
        """Those of these folders, and PORTICO_HOME, whose disk has no room left: one sentence for
        all folders of a disk.
        """


class Files(Protocol):
    """Tells which of the operator's files have changed."""

    async def look(self, wanted: Mapping[str, WatchSettings]) -> Mapping[str, WatchResult]:
        """What has changed since the last look, by the names of `wanted`.

        What is new in `wanted` is watched from now on, what is not in it any more is not.
        """
