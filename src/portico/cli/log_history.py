"""What log files hold, those that were rotated too, as lines in the order of their times."""

from __future__ import annotations

import gzip
import io
import os
import re
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from portico.cli.tail import MAX_LINE_LENGTH, text_of
from portico.core.model.log_line import LogLine
from portico.core.model.log_times import time_of
from portico.system.account import Account
from portico.system.rights import open_file

MAX_ROTATED: Final = 1000


@dataclass(frozen=True, slots=True)
class LineFilter:
    since: float | None = None
    until: float | None = None
    pattern: re.Pattern[str] | None = None
    count: int | None = None
    """How many of the last ones of each file; None is all."""

    @property
    def looks_back(self) -> bool:
        """Whether rotated files are read, too."""
        return bool(self.since is not None or self.until is not None or self.pattern)

    def takes(self, line: LogLine) -> bool:
        return (
            (self.since is None or line.at >= self.since)
            and (self.until is None or line.at < self.until)
            and (self.pattern is None or self.pattern.search(line.text) is not None)
        )


def history(path: Path, account: Account, wanted: LineFilter, end: int) -> Iterator[LogLine]:
    """The lines that are wanted, oldest first, up to so many bytes of the file that is written
    now. None of those that were written last before that time is read. Raises PermissionError.
    """
    found = (line for line in _lines(path, account, wanted, end) if wanted.takes(line))
    return found if wanted.count is None else iter(deque(found, maxlen=wanted.count))


def _lines(path: Path, account: Account, wanted: LineFilter, end: int) -> Iterator[LogLine]:
    files = list(_files(path, account, wanted)) if wanted.looks_back else [path]
    at, is_exact = 0.0, False
    for log_path in reversed(files):
        with _open_log(log_path, account) as (file, written):
            for text in _texts(file, end if log_path == path else None):
                own = time_of(text)
                # A clock that was set back must not take lines out of their order in the file.
                at = max(at, own) if own is not None else at if is_exact else written
                is_exact = is_exact or own is not None
                yield LogLine(at, is_exact, text)


def _files(path: Path, account: Account, wanted: LineFilter) -> Iterator[Path]:
    """Newest first."""
    yield path
    for number in range(1, MAX_ROTATED + 1):
        names = (path.with_name(f"{path.name}.{number}{end}") for end in ("", ".gz"))
        found = next((each for each in names if _modified_at(each, account) is not None), None)
        if found is None or (wanted.since or 0.0) > (_modified_at(found, account) or 0.0):
            return
        yield found


def _modified_at(path: Path, account: Account) -> float | None:
    """When it was written last; None where it is not there."""
    try:
        file = open_file(path, account)
    except FileNotFoundError:
        return None
    try:
        return os.fstat(file).st_mtime
    finally:
        os.close(file)


@contextmanager
def _open_log(path: Path, account: Account) -> Iterator[tuple[BinaryIO, float]]:
    """Empty where a rotation has just moved it."""
    try:
        file = os.fdopen(open_file(path, account), "rb")
    except FileNotFoundError:
        yield io.BytesIO(), 0.0
        return
    with file:
        written = os.fstat(file.fileno()).st_mtime
        if path.suffix != ".gz":
            yield file, written
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield cast("BinaryIO", unpacked), written


def _texts(file: BinaryIO, end: int | None) -> Iterator[str]:
    """Its lines, none longer than MAX_LINE_LENGTH. A file that is damaged ends there."""
    with suppress(EOFError, zlib.error, gzip.BadGzipFile):
        while (end is None or file.tell() < end) and (line := file.readline(MAX_LINE_LENGTH)):
            yield text_of(line.rstrip(b"\n"))
