"""Reads any mix of files into one stack."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os.path import realpath  # of a link to itself, where Path.resolve raises
from pathlib import Path
from stat import S_ISDIR
from typing import Final

from portico.errors import Failed, Refused
from portico.stack.model import Stack
from portico.stack.reading.caddyfile import read_caddy
from portico.stack.reading.certbot import read_certbot
from portico.stack.reading.compose import read_compose
from portico.stack.reading.crontab import read_crontab
from portico.stack.reading.greenlock import read_greenlock
from portico.stack.reading.kinds import Kind, kind_of, kind_of_folder
from portico.stack.reading.nginx import read_nginx
from portico.stack.reading.pm2 import read_pm2
from portico.stack.reading.procfile import read_procfile
from portico.stack.reading.table_filter import without_refused
from portico.stack.reading.timer import read_timer
from portico.stack.reading.unit import read_service, read_socket
from portico.system.rights import open_file

_HEAD_SIZE: Final = 1 << 16
Reader = Callable[[Path, Mapping[str, str]], Stack]
_READERS: Final[Mapping[Kind, Reader]] = {
    "nginx": lambda path, _: read_nginx(path),
    "pm2": read_pm2,
    "caddyfile": read_caddy,
    "compose": read_compose,
    "greenlock": lambda path, _: read_greenlock(path),
    "certbot": lambda path, _: read_certbot(path),
    "crontab": lambda path, _: read_crontab(path),
    "timer": lambda path, _: read_timer(path),
    "unit": lambda path, _: read_service(path),
    "socket": lambda path, _: read_socket(path),
    "procfile": lambda path, _: read_procfile(path),
}


def read_stack(paths: Sequence[Path], environ: Mapping[str, str]) -> Stack:
    """Blocks. Raises a PorticoError that names the file where one cannot be used at all."""
    stack = Stack()
    for path in paths:
        if realpath(path) not in set(map(realpath, stack.files)):
            stack = combine(stack, _read(path, environ))
    return stack


def combine(stack: Stack, other: Stack) -> Stack:
    """Without what the other has read as well: a main file that is named after its sites."""
    files = set(map(realpath, other.files))
    kept = tuple(each for each in stack.nginx if realpath(each.file) not in files)
    return replace(stack, nginx=kept) + other


def _read(path: Path, environ: Mapping[str, str]) -> Stack:
    kind = _kind(path)
    reader = _READERS.get(kind) if kind else None
    if reader is None:
        raise Refused(
            f"{path} is not of a kind that Portico reads (nginx, PM2, certbot, cron, systemd, "
            "Procfile, compose, Caddy, greenlock); nothing was changed"
        )
    return without_refused(reader(path, environ))


def _kind(path: Path) -> Kind | None:
    try:
        if S_ISDIR(path.stat().st_mode):
            return kind_of_folder(path)
        with os.fdopen(open_file(path), "rb") as file:
            head = file.read(_HEAD_SIZE)
    except OSError as error:
        raise Failed(f"cannot read {path}: {error.strerror}; nothing was changed") from error
    except ValueError as error:  # a NUL in its name
        raise Failed(f"cannot read {path}: {error}; nothing was changed") from error
    # A pipe that nobody writes to now has nothing in it.
    return kind_of(path, (head or b"").decode(errors="replace"))
