"""Reads what is to be examined: the operator's files, and where wished the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from portico.importers.read import file_in, read_file
from portico.stack.doctor.machine import Machine
from portico.stack.doctor.rule import Facts, OwnFile
from portico.stack.doctor.tree import Nginx
from portico.stack.model import Stack
from portico.stack.reading.read import read_stack
from portico.system.text import read_text


def gather(paths: Sequence[Path], environ: Mapping[str, str]) -> Facts:
    """Blocks. Raises a PorticoError that names the file where one cannot be used at all."""
    stack, own = Stack(), []
    for given in paths:
        path = (given.is_dir() and file_in(given)) or given
        if path.suffix == ".toml":
            table = read_file(path, environ).table
            own.append(OwnFile(str(path), table, read_text(path)))
        elif path.resolve() not in {Path(each).resolve() for each in stack.files}:
            stack = _added(stack, read_stack([path], environ))
    return Facts(stack, Nginx(stack.nginx), Machine(), tuple(own))


def _added(stack: Stack, other: Stack) -> Stack:
    """Without what the other has read as well: a main file that is named after its sites."""
    files = {Path(each).resolve() for each in other.files}
    kept = tuple(each for each in stack.nginx if Path(each.file).resolve() not in files)
    return replace(stack, nginx=kept) + other
