"""A rule: one fault of a stack, how it is found, and its page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from textwrap import indent
from typing import Final, Literal, TypeAlias

from portico.core.model.nginx_lines import Line
from portico.stack.doctor.machine import Machine
from portico.stack.doctor.tree import Nginx
from portico.stack.model import Place, Program, Renewal, Stack

Severity = Literal["error", "warning", "advice", "hint"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "advice", "hint")
"""From the most severe."""


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A portico.toml."""

    path: str
    table: Mapping[str, object]
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All that rules look at."""

    stack: Stack
    nginx: Nginx
    machine: Machine
    own: tuple[OwnFile, ...] = ()


Fault: TypeAlias = tuple[Place, str]
"""Where, and what is wrong there: one clause, without a full stop."""


@dataclass(frozen=True, slots=True)
class Example:
    """The same part of a stack with the fault and without it; test and page use it."""

    before: Mapping[str, str]
    """Name of a file to its text."""
    after: Mapping[str, str]
    machine: Machine = field(default_factory=Machine)
    fixed_machine: Machine | None = None
    """Where it is the machine that has been fixed, and not the file."""


@dataclass(frozen=True, slots=True)
class Rule:
    code: str
    """Stable: `upstream-without-keepalive`."""
    severity: Severity
    title: str
    """What is wrong, in general: one clause."""
    why: str
    """What happens because of it, with the figure where there is one."""
    fix: str
    example: Example
    find: Callable[[Facts], Iterator[Fault]]
    family: str = ""
    """Name of the module that has it."""


@dataclass(frozen=True, slots=True)
class Finding:
    rule: Rule
    place: Place
    what: str


def rule(
    code: str,
    severity: Severity,
    title: str,
    *,
    why: str,
    fix: str,
    example: Example,
) -> Callable[[Callable[[Facts], Iterator[Fault]]], Rule]:
    """The function below becomes a rule, of the family of its module."""

    def build(find: Callable[[Facts], Iterator[Fault]]) -> Rule:
        family = find.__module__.rpartition(".")[2]
        return Rule(code, severity, title, why, fix, example, find, family)

    return build


def place_of(line: Line | Program | Renewal) -> Place:
    return Place(line.file, line.number) if isinstance(line, Line) else line.place


def server_example(before: str, after: str, machine: Machine | None = None) -> Example:
    """Of what is in a server of plain HTTP."""
    head = "server {\n    listen 80;\n"
    return nginx_example(f"{head}{_indent(before)}}}\n", f"{head}{_indent(after)}}}\n", machine)


def whole_example(before: str, after: str, machine: Machine | None = None) -> Example:
    """Of what is in `http` of a main file, or of lines before it, which end with an empty line."""
    return nginx_example(_main_file(before), _main_file(after), machine)


def _main_file(text: str) -> str:
    main, _, http = text.rpartition("\n\n")
    before = f"{main}\n" if main else "worker_processes auto;\nworker_shutdown_timeout 1m;\n"
    events = "" if "events" in main else "events {\n    worker_connections 4096;\n}\n"
    return f"{before}{events}http {{\n{_indent(http)}}}\n"


def _indent(text: str) -> str:
    return indent(text, "    ")


def nginx_example(before: str, after: str, machine: Machine | None = None) -> Example:
    """Of one file of nginx."""
    machine = machine or Machine()
    return Example({"site.conf": before}, {"site.conf": after}, machine)
