"""Reads what is to be examined: the operator's files, and where wished the machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from portico.importers.read import file_in, read_file
from portico.stack.doctor.machine import Machine
from portico.stack.doctor.rule import Facts, OwnFile
from portico.stack.doctor.surveying import survey
from portico.stack.doctor.tree import Nginx
from portico.stack.model import Stack
from portico.stack.reading.pm2 import pm2_home
from portico.stack.reading.read import combine, read_stack
from portico.system.text import read_text


def gather(paths: Sequence[Path], environ: Mapping[str, str], *, live: bool = False) -> Facts:
    """Blocks. Files of this machine's own folders, or `live`, are compared with what is there.
    Raises a PorticoError that names the file where one cannot be used at all.
    """
    stack, own = Stack(), []
    for given in paths:
        path = (given.is_dir() and file_in(given)) or given
        if path.suffix == ".toml":
            table = read_file(path, environ).table
            own.append(OwnFile(str(path), table, read_text(path)))
        elif _real(path) not in set(map(_real, stack.files)):
            stack = combine(stack, read_stack([path], environ))
    facts = Facts(stack, Nginx(stack.nginx), Machine(), tuple(own))
    if live or any(_is_of_machine(_real(path), environ) for path in paths):
        return replace(facts, machine=survey(facts, environ))
    return facts


def _is_of_machine(path: Path, environ: Mapping[str, str]) -> bool:
    homes = (Path("/etc"), Path("/var/spool/cron"), pm2_home(environ))
    return any(path.is_relative_to(each) for each in homes)


def live_paths(environ: Mapping[str, str]) -> list[Path]:
    """Where what runs on a machine has its files; only those that are there and can be read."""
    places = (
        "/etc/nginx/nginx.conf",
        "/etc/letsencrypt",
        "/etc/crontab",
        "/etc/cron.d",
        f"/var/spool/cron/crontabs/{environ.get('USER', 'root')}",
        f"{pm2_home(environ)}/dump.pm2",
    )
    return [path for path in map(Path, places) if os.access(path, os.R_OK)]


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve fails for links in a circle
