"""The access logs on disk: what was written since, over rotations, whoever rotates.

A log is followed by its inode. When its name leads to another file, the old one is read on for a
while: nginx's workers write to it until they have opened the new one. After a start the files that
were being read are found again, by inode, among those in the log's folder.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import msgspec

CHUNK: Final = 1 << 20
QUIET_TIME: Final = 90.0
"""Seconds without a line after which a renamed log has no writer left."""
_HEAD: Final = 256
_COMPRESSED_SUFFIXES: Final = (".gz", ".xz", ".bz2", ".zst")


class Position(msgspec.Struct, frozen=True, array_like=True):
    """How far a file was read, for the next start."""

    inode: int
    offset: int
    head: int
    """Checksum of its first bytes: a number of an inode is used again."""


class LogFile:
    """One file, held open."""

    def __init__(self, file: int, offset: int = 0) -> None:
        self.file, self.offset = file, offset
        self.inode = os.fstat(file).st_ino
        self.renamed_at: float | None = None
        """When its name was seen to lead elsewhere, or when it grew last after that."""

    @property
    def position(self) -> Position:
        return Position(self.inode, self.offset, _head(self.file, self.offset))

    @property
    def size(self) -> int:
        return os.fstat(self.file).st_size

    @property
    def backlog(self) -> int:
        """Bytes."""
        return max(self.size - self.offset, 0)

    def read(self) -> bytes:
        """Whole lines that were not read yet; empty where there are none."""
        data = os.pread(self.file, CHUNK, self.offset)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == CHUNK:
            end = CHUNK  # no line of ours is so long: it is counted as unreadable
        self.offset += end
        return data[:end]

    def is_truncated(self) -> bool:
        return self.size < self.offset

    def close(self) -> None:
        os.close(self.file)


class Log:
    """The access log of a site: a name, and the files that it led to."""

    def __init__(self, path: str, positions: list[Position], stored: float, now: float) -> None:
        """Begins at these, which were stored at a Unix time. Where there are none it begins with
        the whole file, and those that were renamed since then: a daemon may be killed, and the
        next one rotate, before a new log was looked at once. `now` is monotonic.
        """
        self._path = path
        self._files: list[LogFile] = []
        self.gaps = 0
        """How often something was lost: a file was truncated, or removed before it was read."""
        self._resume(positions, stored, now)

    def read(self, now: float) -> Iterator[bytes]:
        """What is new, piece by piece; `now` is monotonic."""
        self.look(now)
        for file in tuple(self._files):
            if file.is_truncated():
                self.gaps += 1
                file.offset = 0
            before = file.offset
            while data := file.read():
                yield data
            if file.renamed_at is not None:
                self._retire(file, now, grew=file.offset > before)

    def positions(self) -> list[Position]:
        return [file.position for file in self._files]

    def backlog(self) -> int:
        return sum(file.backlog for file in self._files)

    def close(self) -> None:
        for file in self._files:
            file.close()

    def look(self, now: float) -> None:
        """Whether the name leads to another file by now."""
        current = self._files[-1] if self._files and self._files[-1].renamed_at is None else None
        try:
            inode = os.stat(self._path, follow_symlinks=False).st_ino  # noqa: PTH116 - every second, of each log
        except OSError:
            inode = 0
        if current and current.inode == inode:
            return
        if current:
            current.renamed_at = now
        if inode and (file := _open_log(self._path)) is not None:
            again = next((each for each in self._files if each.inode == file.inode), None)
            if again is None:
                self._files.append(file)
            else:  # it was renamed back
                file.close()
                again.renamed_at = None
                self._files.remove(again)
                self._files.append(again)

    def _retire(self, file: LogFile, now: float, *, grew: bool) -> None:
        """Workers that could not open a newer file, or were not asked to, write to this one."""
        newer = self._files[self._files.index(file) + 1 :]
        if grew:
            file.renamed_at = now
        elif any(each.size for each in newer) and now - (file.renamed_at or now) > QUIET_TIME:
            self.gaps += file.backlog > 0  # half a line
            file.close()
            self._files.remove(file)

    def _resume(self, positions: list[Position], stored: float, now: float) -> None:
        folder, name = os.path.split(self._path)
        there = dict[int, str]()
        with suppress(OSError):
            for entry in os.scandir(folder):
                if entry.name.startswith(name):
                    there[entry.inode()] = entry.path
        newest = True
        for position in reversed(positions):
            path = there.get(position.inode)
            file = _open_log(path) if path else None
            if file and position.head == _head(file.file, position.offset):
                file.offset = position.offset
                file.renamed_at = None if path == self._path else now
                self._files.insert(0, file)
            else:
                if file:
                    file.close()
                self.gaps += newest  # an older one may have been read to its end
            newest = False
        if not self._files or self._files[-1].renamed_at is not None:
            self._files += self._files_since(there, stored, now)

    def _files_since(self, there: dict[int, str], stored: float, now: float) -> list[LogFile]:
        """Those that nginx has begun since then, and that were renamed too."""
        known = {file.inode for file in self._files}
        found: list[tuple[float, LogFile]] = []
        for inode, path in there.items():
            if inode in known or path == self._path or (file := _open_log(path)) is None:
                continue
            changed = os.fstat(file.file).st_mtime
            if changed >= stored and not path.endswith(_COMPRESSED_SUFFIXES):
                file.renamed_at = now
                found.append((changed, file))
            else:
                file.close()
        return [file for _, file in sorted(found, key=lambda each: each[0])]


def _open_log(path: str) -> LogFile | None:
    try:
        return LogFile(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError:
        return None


def _head(file: int, offset: int) -> int:
    return zlib.crc32(os.pread(file, min(offset, _HEAD), 0))
