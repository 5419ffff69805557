"""Text files that others write: as text, or in words why not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from portico.errors import ConfigError, Failed, Problem
from portico.system.rights import open_file

MAX_FILE_SIZE: Final = 32 << 20
"""Bytes; a file of 5,000 sites has 5 MiB."""


def read_text(path: Path, *, encoded: bool = True) -> str:
    """Opened with the rights of who can write its folder (`rights`). Raises Failed where it cannot
    be read, is no UTF-8 or is larger than MAX_FILE_SIZE. Without `encoded` what is no UTF-8 is
    read as U+FFFD.
    """
    try:
        with os.fdopen(open_file(path), "rb") as file:
            raw = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise Failed(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # a NUL in its name
        raise Failed(f"cannot read {path}: {error}") from error
    if len(raw) > MAX_FILE_SIZE:
        raise Failed(f"cannot read {path}: it is larger than {MAX_FILE_SIZE >> 20} MiB")
    try:
        return raw.decode("utf-8-sig", "strict" if encoded else "replace")
    except UnicodeDecodeError as error:
        raise Failed(f"cannot read {path}: line {line_of(error)} is not UTF-8 text") from error


def line_of(error: UnicodeDecodeError) -> int:
    return error.object.count(b"\n", 0, error.start) + 1


def file_error(path: Path, what: str, hint: str | None = None) -> ConfigError:
    """A problem of a whole file."""
    return ConfigError(str(path), [Problem(path.name or str(path), what, hint)])
