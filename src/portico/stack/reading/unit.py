"""Services of systemd that run a program, with the instances of templates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from portico.core.model.labels import app_label
from portico.importers.renewers import renews
from portico.stack.model import Gap, Place, Program, Renewal, Stack
from portico.stack.reading.text_files import quote_line
from portico.stack.reading.timer import SYSTEM
from portico.stack.reading.unit_file import read_unit_file
from portico.stack.reading.unit_service import ServiceTable

_SHARED_KEYS: Final = frozenset(("cwd", "env", "env_file", "user", "group"))
"""What is the same for a program and for what runs before it."""


def read_service(path: Path) -> Stack:
    """Raises Failed where it cannot be read."""
    unit = read_unit_file(path)
    renewals = tuple(
        Renewal(each.place, each.value)
        for each in unit.all("Service", "ExecStart")
        if renews(each.value)
    )
    if renewals:
        return Stack(renewals=renewals, files=unit.files)
    names = _instances(path)
    if not names:
        example = path.name.replace("@", "@3000")
        why = f"this template has no enabled instance; name one, as a link {example} to it"
        return Stack(gaps=(Gap(Place(str(path)), path.name, why),), files=unit.files)
    tables = {name: ServiceTable(unit, name) for name in names}
    programs = [program for name, each in tables.items() for program in _programs(name, each)]
    gaps = dict.fromkeys(gap for each in tables.values() for gap in each.gaps)
    socket = path.with_suffix(".socket")
    stack = Stack(
        programs=tuple(_join_template(programs)), units=(unit,), gaps=tuple(gaps), files=unit.files
    )
    return stack + read_socket(socket) if socket.is_file() else stack


def read_socket(path: Path) -> Stack:
    """A socket of systemd: what listens for a program. Raises Failed where it cannot be read."""
    unit = read_unit_file(path)
    why = "systemd does not listen for apps: the program has to listen on $PORT itself"
    gaps = (
        Gap(each.place, quote_line(str(each)), why) for each in unit.all("Socket", "ListenStream")
    )
    return Stack(gaps=tuple(gaps), files=unit.files)


def _instances(path: Path) -> list[str]:
    """Names of units: its own, or those of the enabled instances of a template."""
    before, at, _ = path.stem.partition("@")
    if not at or path.stem != f"{before}@":
        return [path.name]
    folders = (path.parent, *(SYSTEM if path.parent in SYSTEM else ()))
    pattern = f"{before}@?*{path.suffix}"
    found = {
        each.name
        for folder in folders
        for each in (*folder.glob(f"*.wants/{pattern}"), *folder.glob(pattern))
    }
    return sorted(found, key=lambda name: (len(name), name))


def _programs(unit_name: str, service: ServiceTable) -> Iterator[Program]:
    """The program, after those that have to run before it."""
    name = app_label(unit_name.rpartition(".")[0]) or "app"
    place = service.place
    if not service.command:
        return
    before = []
    for index, command in enumerate(service.before):
        before.append(f"{name}-pre{index or ''}")
        own = {key: service.table[key] for key in service.table.keys() & _SHARED_KEYS}
        table = {"command": command, **own, "port": False, "autorestart": False}
        yield Program(before[-1], place, "systemd", table)
    table = {**service.table, **({"after": before} if before else {})}
    yield Program(name, place, "systemd", table, service.ports, service.sockets)


def _join_template(programs: list[Program]) -> list[Program]:
    """Instances of a template on consecutive ports are one app."""
    first = programs[0] if programs else None
    ports = [port for each in programs for port in each.ports]
    several = len(ports) == len(programs) > 1
    if first is None or not several or ports != list(range(ports[0], ports[0] + len(ports))):
        return programs
    if any(_but_port(each.table) != _but_port(first.table) for each in programs):
        return programs
    name = re.sub(r"-\d+$", "", first.name)
    table = {**first.table, "instances": len(programs)}
    return [Program(name, first.place, "systemd", table, tuple(ports))]


def _but_port(table: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in table.items() if key != "port"}
