"""Reads any mix of files into one stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from portico.errors import Failed, Refused
from portico.stack.model import Stack
from portico.stack.reading.kinds import Kind, kind_of
from portico.stack.reading.nginx import read_nginx
from portico.stack.reading.pm2 import read_pm2

Reader = Callable[[Path, Mapping[str, str]], Stack]
_READERS: Final[Mapping[Kind, Reader]] = {
    "nginx": lambda path, _: read_nginx(path),
    "pm2": read_pm2,
}


def read_stack(paths: Sequence[Path], environ: Mapping[str, str]) -> Stack:
    """Blocks. Raises a PorticoError that names the file where one cannot be used at all."""
    return sum((_read(path, environ) for path in paths), Stack())


def _read(path: Path, environ: Mapping[str, str]) -> Stack:
    kind = kind_of(path, _head(path))
    reader = _READERS.get(kind) if kind else None
    if reader is None:
        raise Refused(f"{path}: nothing says what kind of file it is; nothing was changed")
    return reader(path, environ)


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(1 << 16).decode(errors="replace")
    except OSError as error:
        raise Failed(f"cannot read {path}: {error.strerror}; nothing was changed") from error
