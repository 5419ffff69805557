"""Programs as apps: several entries of one program on ports in a row are instances of one."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from portico.core.model.app import App
from portico.importers.pm2_upstreams import upstreams
from portico.stack.importing.values import shown_size
from portico.stack.model import Place, Program

_PM2_KEYS: Final = ("pm_id",)
_LEADING_KEYS: Final = ("script", "command", "args", "interpreter", "cwd", "instances", "port")
_PATHS: Final = ("env_file",)


@dataclass
class Apps:
    tables: dict[str, dict[str, object]] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    ports: dict[int, str] = field(default_factory=dict)
    """Which app listens there; the first that is named."""
    sockets: dict[str, str] = field(default_factory=dict)
    """The same of unix sockets, by path."""


def apps_of(programs: Iterable[Program], folder: Path) -> Apps:
    """`folder` is where portico.toml will be, which paths are relative to."""
    found = Apps()
    named: dict[str, Program] = {}
    for program in programs:
        named[_free_name(program.name, named)] = program
    tables = {name: _table(program, folder) for name, program in named.items()}
    joined = _join(tables, named)
    members = {name: group for group, names in joined.items() for name in names}
    for name, program in named.items():
        group = members.get(name, name)
        if group in found.tables:
            _listen(found, program, group)
            continue
        table = tables[name]
        if name in members:
            first = joined[group][0]
            table = {**tables[first], "instances": len(joined[group])}
        found.tables[group], found.places[group] = _without_defaults(table), program.place
        _listen(found, program, group)
    return found


def _listen(found: Apps, program: Program, app: str) -> None:
    for port in program.ports:
        found.ports.setdefault(port, app)
    for path in program.sockets:
        found.sockets.setdefault(path, app)


def _join(
    tables: Mapping[str, dict[str, object]], programs: Mapping[str, Program]
) -> dict[str, list[str]]:
    """By name of the app that they become, programs on ports in a row."""
    found = {}
    for group, names in upstreams(tables).items():
        ordered = sorted(names, key=lambda name: programs[name].ports[:1])
        ports = [programs[name].ports for name in ordered]
        first = ports[0][0] if ports[0] else 0
        if ports == [(first + index,) for index in range(len(ports))]:
            found[group] = ordered
    return found


def _table(program: Program, folder: Path) -> dict[str, object]:
    table = {key: value for key, value in program.table.items() if key not in _PM2_KEYS}
    env = table.get("env")
    if program.manager == "pm2" and isinstance(env, Mapping):
        own = {key: value for key, value in env.items() if key != "name"}
        table = {**table, "env": own} if own else {k: v for k, v in table.items() if k != "env"}
    base = os.path.abspath(os.path.dirname(program.place.file))  # noqa: PTH100, PTH120 - links stay
    if base != str(folder):
        table["cwd"] = _path_from(folder, base, str(table.get("cwd", ".")))
        for key in _PATHS:
            value = table.get(key)
            if isinstance(value, str):
                table[key] = _path_from(folder, base, value)
            elif isinstance(value, list | tuple):
                table[key] = [_path_from(folder, base, str(each)) for each in value]
        logs = table.get("logs")
        if isinstance(logs, Mapping):
            table["logs"] = {
                key: _path_from(folder, base, value) if key in {"stdout", "stderr"} else value
                for key, value in logs.items()
            }
    return table


def _path_from(folder: Path, base: str, path: str) -> str:
    if path.startswith(("/", "~", "$")):
        return path
    whole = os.path.normpath(os.path.join(base, path))  # noqa: PTH118
    relative = os.path.relpath(whole, folder)
    return whole if relative.startswith("../..") else relative


def _without_defaults(table: Mapping[str, object]) -> dict[str, object]:
    """Without what is so anyway."""
    found = {}
    for key in (*_LEADING_KEYS, *(each for each in table if each not in _LEADING_KEYS)):
        value = table.get(key)
        model = App.model_fields.get(key)
        if key not in table or (
            model is not None and value == model.get_default(call_default_factory=True)
        ):
            continue
        found[key] = shown_size(value) if key == "max_memory" and isinstance(value, int) else value
    return found


def _free_name(name: str, used: Mapping[str, object]) -> str:
    number, free = 2, name
    while free in used:
        free, number = f"{name[:46]}-{number}", number + 1
    return free
