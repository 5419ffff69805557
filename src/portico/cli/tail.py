"""The end of a log file, and what is added to it, over rotation by rename and by truncation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from portico.system.account import Account
from portico.system.rights import open_file

READ_SIZE: Final = 1 << 20
MAX_LINE_LENGTH: Final = 1 << 20
_BLOCK: Final = 65536
_NO_USER: Final = Account()


class Tail:
    """One file. Lines come whole unless they are longer than MAX_LINE_LENGTH; the last one may
    still lack its end. Bytes that are no UTF-8 are kept as PEP 383 has them.
    """

    def __init__(
        self, path: Path, *, lines: int | None, since: int = 0, account: Account = _NO_USER
    ) -> None:
        """Begin so many lines before the end, or at the beginning (None). Those of the first
        `since` bytes are `earlier`. The account is the user of the program that writes it.
        """
        self.path, self._account = path, account
        self._pending = b""
        self.earlier: list[str] = []
        self._file: BinaryIO | None = self._open()
        if self._file and lines is not None:
            start = _start_of_last(self._file, lines)
            self._file.seek(start)
            if start < since:
                self.earlier = [
                    text_of(each) for each in self._file.read(since - start).splitlines()
                ]

    def next_lines(self) -> list[str]:
        """Lines of the next READ_SIZE bytes; empty where none have come."""
        found = self._read()
        if len(found) < READ_SIZE and self._is_moved():
            # what was written to the old file until now has been read; go on with the new one
            self.close()
            self._file = self._open()
            found += self._read()
        *whole, self._pending = (self._pending + found).split(b"\n")
        if len(self._pending) >= MAX_LINE_LENGTH:
            whole, self._pending = [*whole, self._pending], b""
        return [text_of(line) for line in whole]

    @property
    def is_there(self) -> bool:
        return self._file is not None

    @property
    def modified_at(self) -> float:
        """When it was written last. Unix time, seconds; 0 where there is no such file."""
        return os.fstat(self._file.fileno()).st_mtime if self._file else 0.0

    @property
    def position(self) -> int:
        """Up to which byte it has been read."""
        return self._file.tell() if self._file else 0

    def lines_so_far(self) -> Iterator[list[str]]:
        """The lines of all that is there now, in pieces: what is added meanwhile may never end."""
        end = os.fstat(self._file.fileno()).st_size if self._file else 0
        while lines := self.next_lines():
            yield lines
            if self._file and self._file.tell() >= end:
                return

    def unended_line(self) -> list[str]:
        """A last line that was not ended."""
        line, self._pending = self._pending, b""
        return [text_of(line)] if line else []

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO | None:
        try:
            return os.fdopen(open_file(self.path, self._account), "rb")
        except FileNotFoundError:
            return None

    def _read(self) -> bytes:
        if self._file is None:
            return b""
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)  # copied and truncated
        return self._file.read(READ_SIZE)

    def _is_moved(self) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False  # between the two renames of a rotation
        return self._file is None or not os.path.samestat(there, os.fstat(self._file.fileno()))


def text_of(line: bytes) -> str:
    """Bytes that are no UTF-8 are kept as PEP 383 has them."""
    return line.decode(errors="surrogateescape")


def _start_of_last(file: BinaryIO, lines: int) -> int:
    """Where the last so many lines begin, or as far back as so many of the longest would."""
    position = end = file.seek(0, os.SEEK_END)
    wanted = lines + _ends_with_newline(file, position)
    while position and wanted and end - position < lines * MAX_LINE_LENGTH:
        begin = max(0, position - _BLOCK)
        file.seek(begin)
        block = file.read(position - begin)
        while wanted and (found := block.rfind(b"\n")) >= 0:
            wanted -= 1
            if not wanted:
                return begin + found + 1
            block = block[:found]
        position = begin
    return position


def _ends_with_newline(file: BinaryIO, size: int) -> bool:
    if not size:
        return False
    file.seek(size - 1)
    return file.read(1) == b"\n"
