"""The environment of an instance: what it inherits, what its app sets, what Portico tells it.

In rising order: the operator's shell (a few names, or all with `inherit_env`), the user it
runs as, the address to listen on, its env_files, its `env`, the `NAME=value` words before its
command, and at last what only Portico knows, its port above all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from portico.core.model.app import App
from portico.core.model.desired import Spec
from portico.core.model.names import InstanceId
from portico.core.model.shell import inherited_variables

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The same as `SEARCH_PATH` of `system.programs`, which the core does not import."""
HOST: Final = "HOST"
"""Where to listen, as many programs read it: nginx is on this machine, and nobody else is to
reach an instance."""
LOOPBACK: Final = "127.0.0.1"
INSTANCE: Final = "PORTICO_INSTANCE"
LOGS: Final = "PORTICO_LOGS"
"""Environment variable of instances, and of no check: the log folder of who started it. Several
homes of one machine have instances of the same name."""
MARKS: Final = frozenset({INSTANCE, LOGS})
_LINE: Final = re.compile(
    r"""
    [ \t]*(?:export[ \t]+)?
    (?P<name>[A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*
    (?: '(?P<single>[^']*)'
      | "(?P<double>(?:[^"\\]|\\.)*)"
      | (?P<plain>(?:(?<==)\#|[^\s'"\#])[^\n]*?|)
    )
    [ \t]*(?:(?<=[\s'"])\#[^\n]*)?(?:\n|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_EMPTY_LINE: Final = re.compile(r"[ \t]*(?:\#[^\n]*)?(?:\n|\Z)")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "\n": ""}


def environment(
    spec: Spec,
    place: Mapping[str, str],
    files: Iterable[Mapping[str, str]],
    own: Mapping[str, str],
) -> dict[str, str]:
    """`place` is PWD, and who it runs as if that is another user; `own` are the instance's
    variables.
    """
    merged = {"PATH": DEFAULT_PATH, "PYTHONUNBUFFERED": "1"}  # output of Python is seen at once
    merged |= inherited_variables(spec.environ, everything=spec.app.inherit_env) | dict(place)
    if spec.app.port is None:  # a port that is the operator's choice may be meant for others
        merged[HOST] = LOOPBACK
    for file in files:
        merged |= file
    return merged | {name: _text(value) for name, value in spec.app.env.items()} | dict(own)


def instance_variables(
    app: App, app_name: str, instance: InstanceId, slot: int, port: int
) -> dict[str, str]:
    """What Portico tells an instance of itself; nothing else may set these."""
    itself = {
        app.instance_env: str(slot - 1),
        "PORTICO_APP": app_name,
        INSTANCE: instance,
    }
    if app.pm_id is not None:
        itself["pm_id"] = str(app.pm_id + slot - 1)
    return itself | {app.port_env: str(port)} if app.listens else itself


@dataclass(frozen=True, slots=True)
class NoticePaths:
    """Where programs say that they are ready; absolute paths."""

    notify: str
    """The socket of sd_notify(3)."""
    send: str
    """The socket that `preload` connects to."""
    preload: str
    """What gives Node programs a `process.send`, and a port of their own."""


def with_preload(variables: Mapping[str, str], paths: NoticePaths, app: App) -> dict[str, str]:
    """The whole environment of a program that is to say when it is ready, or to fall back."""
    quoted = paths.preload.replace("\\", "\\\\").replace('"', '\\"')
    own = variables.get("NODE_OPTIONS", "")
    merged = {**variables, "NODE_OPTIONS": f'{own} --require "{quoted}"'.strip()}
    if app.wait_ready:
        merged |= {"NOTIFY_SOCKET": paths.notify, "PORTICO_SEND": paths.send}
    return merged | ({"PORTICO_PORT_FALLBACK": app.port_env} if app.port_fallback else {})


def parse_env_file(text: str, path: str) -> dict[str, str]:
    r"""`NAME=value` lines. ValueError names the file and the line.

    As in dotenv files: `export` and blanks are allowed, `#` begins a comment at the beginning
    of a line and after a blank, single quotes keep everything, double quotes know `\n` and
    the like, and both may go over several lines. Nothing is replaced inside a value.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        if nothing := _EMPTY_LINE.match(text, at):
            at = nothing.end()
            continue
        line = _LINE.match(text, at)
        number = text.count("\n", 0, at) + 1
        if line is None or "\0" in line[0]:
            raise ValueError(f"{path} line {number}: {_syntax_error(text[at:])}")
        found[line["name"]] = _unquote(line)
        at = line.end()
    return found


def _text(value: str | float | bool) -> str:  # noqa: FBT001 - a value of TOML
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unquote(line: re.Match[str]) -> str:
    if line["double"] is not None:
        return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[1]), line["double"])
    return line["single"] if line["single"] is not None else line["plain"]


def _syntax_error(rest: str) -> str:
    line = rest.split("\n", 1)[0].strip()
    name, equals, value = line.partition("=")
    if not equals:
        return f"{line[:40]!r} has no =; write NAME=value"
    if not re.fullmatch(r"(export\s+)?[A-Za-z_][A-Za-z0-9_.-]*\s*", name):
        return f"{name.strip()[:40]!r} is not a valid variable name"
    if value.strip()[:1] in {"'", '"'}:
        return f"the quote of {name.strip()} is not closed, or something follows it"
    return f"the value of {name.strip()} holds a NUL character"
