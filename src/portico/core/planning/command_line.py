"""What is executed for an app: its command, or its script with the interpreter it needs."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from portico.core.model.app import App
from portico.core.planning.shell_words import assignments, split

_PYTHON: Final = (".venv/bin/python", "venv/bin/python", "python3")
_TYPESCRIPT: Final = (
    "node_modules/.bin/tsx",
    "bun",
    "tsx",
    "node_modules/.bin/ts-node",
    "ts-node",
)
_INTERPRETERS: Final[Mapping[str, tuple[str, ...]]] = {
    # ending: programs, best first; what the project itself brings is better than the system's
    ".js": ("node",),
    ".cjs": ("node",),
    ".mjs": ("node",),
    ".ts": _TYPESCRIPT,
    ".tsx": _TYPESCRIPT,
    ".py": _PYTHON,
    ".sh": ("bash",),
    ".rb": ("ruby",),
    ".php": ("php",),
    ".pl": ("perl",),
}
_NODE_TYPES: Final = (
    'install tsx or bun, or set interpreter = "node" if your Node is 22.18 or later'
)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A program that is still to be found, and what it is given."""

    programs: tuple[str, ...]
    """Best first; the first that exists runs. With a `/` in it a path from the working
    folder, else a name to look for in PATH."""
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    script: str | None = None
    """The file that an interpreter is to run, from the working folder."""
    hint: str = ""
    """What to do if none of the programs is there."""


def command_line(app: App, environment: Mapping[str, str], own: Mapping[str, str]) -> CommandLine:
    """ValueError says what is wrong with the command.

    A text is split and filled in from the environment (`--port $PORT`); a list is taken word
    for word. No assignment before the command changes what Portico has told the instance.
    """
    arguments = _words(app.args, environment)
    if app.command is None:
        return _script(app, arguments, environment)
    assigned, words = assignments(_words(app.command, environment))
    if not words:
        raise ValueError(f"the command {app.command!r} names no program")
    merged = {**environment, **assigned, **own}
    return CommandLine(_candidates(words[0]), (*words[1:], *arguments), merged)


def _script(app: App, arguments: list[str], environment: Mapping[str, str]) -> CommandLine:
    if app.script is None:
        raise ValueError("no command or script to run")
    ending = posixpath.splitext(app.script)[1].lower()
    own = _words(app.interpreter_args, environment)
    if app.interpreter not in {None, "none"}:
        programs = _candidates(str(app.interpreter))
    elif app.interpreter is None and ending in _INTERPRETERS:
        programs = _INTERPRETERS[ending]
    elif own:
        raise ValueError(f"interpreter_args needs an interpreter, but {app.script!r} has none")
    else:
        return CommandLine(_as_executable(app.script), tuple(arguments), environment)
    hint = _NODE_TYPES if programs is _TYPESCRIPT else ""
    return CommandLine(programs, (*own, app.script, *arguments), environment, app.script, hint)


def _candidates(program: str) -> tuple[str, ...]:
    """A name that PATH does not have may be a program that the project itself brings."""
    if "/" in program:
        return (program,)
    folders = ("node_modules/.bin", ".venv/bin", "venv/bin")
    return (program, *(f"{folder}/{program}" for folder in folders))


def _as_executable(script: str) -> tuple[str, ...]:
    """A file, or else what PM2 files also name as a script: a program such as `npm`."""
    return (script,) if "/" in script else (f"./{script}", script)


def _words(text: str | tuple[str, ...], environment: Mapping[str, str]) -> list[str]:
    return split(text, environment) if isinstance(text, str) else list(text)
