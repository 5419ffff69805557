"""The end of a log file, and what is added to it, over rotation by rename and by truncation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Final

from portico.system.account import Account
from portico.system.rights import open_file

_BLOCK: Final = 65536
_NO_USER: Final = Account()


class Tail:
    """One file. Lines come whole; the last one may still lack its end."""

    def __init__(self, path: Path, *, lines: int | None, account: Account = _NO_USER) -> None:
        """Begin so many lines before the end, or at the beginning (None). The account is the user
        of the program that writes it.
        """
        self.path, self._account = path, account
        self._pending = b""
        self._file: BinaryIO | None = self._open()
        if self._file and lines is not None:
            self._file.seek(_start_of_last(self._file, lines))

    def more(self) -> list[str]:
        """Lines that have come since; empty while the file is not there."""
        found = self._read()
        if self._moved():
            # what was written to the old file until now has been read; go on with the new one
            self.close()
            self._file = self._open()
            found += self._read()
        *whole, self._pending = (self._pending + found).split(b"\n")
        return [line.decode(errors="replace").rstrip("\r") for line in whole]

    def rest(self) -> list[str]:
        """A last line that was not ended."""
        line, self._pending = self._pending, b""
        return [line.decode(errors="replace")] if line else []

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
        return self._file.read()

    def _moved(self) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False  # between the two renames of a rotation
        return self._file is None or not os.path.samestat(there, os.fstat(self._file.fileno()))


def _start_of_last(file: BinaryIO, lines: int) -> int:
    """Where the last so many lines begin."""
    position = file.seek(0, os.SEEK_END)
    wanted = lines + _ends_with_newline(file, position)
    while position and wanted:
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
