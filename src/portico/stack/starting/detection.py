"""Looks at a folder for what runs in it, the most explicit first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from portico.core.model.labels import app_label
from portico.errors import Failed, Refused
from portico.stack.reading.procfile import read_procfile
from portico.stack.starting.node import deno, node
from portico.stack.starting.other_languages import go, image, pages, ruby, rust
from portico.stack.starting.python import python
from portico.stack.starting.start import Start

_FAMILIES: Final[tuple[Callable[[Path], Start | None], ...]] = (
    deno, node, python, ruby, go, rust, image, pages,
)  # fmt: skip
_MAX_FOLDERS: Final = 100


def starts(folder: Path) -> tuple[Start, ...]:
    """What there is in the folder, else in each folder in it. Refused where nothing is found,
    Failed where a file cannot be read.
    """
    try:
        found = _starts_in(folder) or _in_folders(folder)
    except OSError as error:
        raise Failed(f"cannot read {error.filename}: {error.strerror}") from error
    except ValueError as error:  # an open quote in a command
        raise Failed(f"cannot read a command in {folder}: {error}") from error
    if found:
        return found
    raise Refused(
        f"nothing in {folder} says how a program starts: it has no package.json, Procfile, "
        "pyproject.toml, Gemfile, go.mod or index.html that does; write a portico.toml with its "
        "command"
    )


def _starts_in(folder: Path) -> tuple[Start, ...]:
    if (folder / "Procfile").is_file():
        stack = read_procfile(folder / "Procfile")
        if stack.programs:
            notes = tuple(f"{gap.place}: {gap.why}" for gap in stack.gaps)
            first, *more = (
                Start(f"Procfile, line {each.place.line}", each.table, name=each.name)
                for each in stack.programs
            )
            return (replace(first, notes=notes), *more)
    found = next((each for look in _FAMILIES if (each := look(folder))), None)
    return (found,) if found else ()


def _in_folders(folder: Path) -> tuple[Start, ...]:
    """Each by the name of its folder."""
    inner = sorted(each for each in folder.iterdir() if each.is_dir() and each.name[0] != ".")
    found = []
    for each in inner[:_MAX_FOLDERS]:
        name = app_label(each.name)
        if name and each.name != "node_modules":
            found += [_in_subfolder(start, each.name, name) for start in _starts_in(each)[:1]]
    return tuple({start.name: start for start in found}.values())


def _in_subfolder(start: Start, folder: str, name: str) -> Start:
    first = tuple(f"cd {folder} && {command}" for command in start.first)
    source = f"{folder}/{start.source}"
    if start.table is None:
        below = folder if start.folder == "." else f"{folder}/{start.folder}"
        return replace(start, name=name, folder=below, source=source, first=first)
    table = {**start.table, "cwd": folder}
    return replace(start, name=name, table=table, source=source, first=first)
