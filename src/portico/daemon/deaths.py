"""How often in a row a bug has ended the daemon of a home: kept beside it, for the next one."""

from __future__ import annotations

import json
import logging
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from portico.system import files

MAX_GAP: Final = 600.0
"""Seconds from one death to the next at most."""
VARIABLE: Final = "PORTICO_DEATHS"
"""The same for the program that this process becomes, should the file not be writable."""

log = logging.getLogger(__name__)


class Deaths:
    def __init__(self, path: Path, environ: MutableMapping[str, str]) -> None:
        self._path, self._environ = path, environ

    def count(self, now: float) -> int:
        """Those in a row until now, on the wall clock."""
        number, last = max((self._in_file(), self._in_environ()), key=lambda each: each[1])
        return number if abs(now - last) < MAX_GAP else 0

    def add(self, now: float) -> int:
        """One more, now. Returns how many that makes."""
        number = self.count(now) + 1
        text = json.dumps([number, now])
        self._environ[VARIABLE] = text
        try:
            files.write(self._path, text)
        except OSError as error:
            log.warning("cannot record the crash of the daemon: %s", error)
        return number

    def forget(self) -> None:
        """The daemon ends because it was told to."""
        self._environ.pop(VARIABLE, None)
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _in_file(self) -> tuple[int, float]:
        try:
            return _read(self._path.read_bytes())
        except OSError:
            return 0, 0.0

    def _in_environ(self) -> tuple[int, float]:
        return _read(self._environ.get(VARIABLE, "").encode())


def _read(text: bytes) -> tuple[int, float]:
    """None where nothing of the kind is written: this must never be what ends a daemon."""
    try:
        number, last = json.loads(text)
        return int(number), float(last)
    except (ValueError, TypeError):
        return 0, 0.0
