"""Reads the operator's file, whichever kind it is, as a table of portico.toml."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portico.errors import ConfigError, Problem
from portico.importers.formats import TOO_DEEP_TEXT, kind, read_export, read_text
from portico.importers.node_source import sends_ready
from portico.importers.pm2_context import Kind, Pm2Context
from portico.importers.sites import served_apps, tables, with_site
from portico.system.text import file_error

if TYPE_CHECKING:
    from portico.importers.pm2 import Pm2Import

NAMES: Final = (
    "portico.toml",
    *(f"ecosystem.config.{ending}" for ending in ("js", "cjs", "mjs")),
    *(f"pm2.config.{ending}" for ending in ("js", "cjs", "mjs")),
    *(
        f"{name}.{ending}"
        for name in ("ecosystem", "ecosystem.config", "pm2", "process", "processes")
        for ending in ("json", "yaml", "yml")
    ),
)
"""What is looked for in a folder, in this order; PM2's users have all of them."""
ECOSYSTEM: Final = "ecosystem"
"""The key of portico.toml that joins the apps of a PM2 file into it."""
_SILENT_KEYS: Final = frozenset(("port", "replace_order"))
_PROGRAM: Final = frozenset(("script", "command", "args", "interpreter", "interpreter_args"))


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """A file that has been read, and has yet to be checked."""

    source: str
    """Absolute path."""
    folder: str
    """Absolute; relative paths of the table start here."""
    table: Mapping[str, object]
    environ: Mapping[str, str]
    """The shell's, less what is no UTF-8: JSON, as which it travels, has no place for that."""
    notes: tuple[str, ...] = ()
    """What could not be taken over, or was otherwise than may be expected."""


_TOML_WORDS: Final = {
    "Illegal character '\\n'": "the text has no closing quote",
    "Invalid value": "has no valid value; text must be in quotes",
    "Cannot overwrite a value": "the key appears twice",
    "Invalid initial character for a key part": "expected a key; a table in braces is one line",
    "Unescaped '\\' in a string": "a backslash in double quotes is doubled; or use single quotes",
}


def read_file(
    path: Path,
    environ: Mapping[str, str],
    *,
    site: str | None = None,
    environment: str | None = None,
    only: tuple[str, ...] = (),
    cores: int | None = None,
) -> ImportedFile:
    """Read a file, or the one there is in a folder; blocks while Node evaluates JavaScript.

    `site` puts what the file runs behind a site, `environment` is the NAME of PM2's
    `--env NAME`, `only` has the names of `--only`. Raises ConfigError when the file
    cannot be read.
    """
    path = find_file(current_folder(environ) / path)
    options = _ReadOptions(environ, environment, only, cores or os.cpu_count() or 1, path.parent)
    loaded = _toml(path, options) if path.suffix == ".toml" else _pm2(path, options)
    return _import_file(loaded, str(path), path.parent, environ, site)


def _import_file(
    loaded: _LoadedFile, source: str, folder: Path, environ: Mapping[str, str], site: str | None
) -> ImportedFile:
    folders = loaded.folders
    table = loaded.table if site is None else with_site(loaded.table, site, source, folders)
    kept = {name: value for name, value in environ.items() if _is_text(name + value)}
    return ImportedFile(source, str(folder), _with_ports(table, loaded.pm2), kept, loaded.notes)


def read_program(
    entry: Mapping[str, object], environ: Mapping[str, str], *, site: str | None = None
) -> ImportedFile:
    """One program as an entry of a PM2 file in the current folder; its path is the source. It is a
    project of its own, of the name of its app.

    Raises ConfigError when there is no such program.
    """
    folder, script = current_folder(environ), str(entry["script"])
    source = str(folder / script)
    options = _ReadOptions(environ, None, (), os.cpu_count() or 1, folder)
    taken, is_there = _take(entry, Path(source), folder, options)
    if not is_there and not shutil.which(script, path=environ.get("PATH")):
        raise file_error(Path(source), "does not exist")
    loaded = _from_pm2_import(taken)
    names = list(tables(loaded.table.get("apps")))
    own = {"project": names[0]} if names else {}
    loaded = replace(loaded, table={**own, **loaded.table})
    return _import_file(loaded, source, folder, environ, site)


def current_folder(environ: Mapping[str, str]) -> Path:
    """As the shell names it, through links: `current` will lead to other releases."""
    named = environ.get("PWD", "")
    with suppress(OSError):
        if named.startswith("/") and Path(named).samefile("."):
            return Path(named)
    return Path.cwd()


def find_file(path: Path) -> Path:
    """The file itself, or in a folder the first of NAMES. ConfigError if it has none."""
    if not path.is_dir():
        return path
    if found := file_in(path):
        return found
    raise file_error(
        path, "has no portico.toml and no PM2 file", "create one, or give another path"
    )


def file_in(folder: Path) -> Path | None:
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


@dataclass(frozen=True, slots=True)
class _ReadOptions:
    """What the content of a file is taken with."""

    environ: Mapping[str, str]
    environment: str | None
    only: tuple[str, ...]
    cores: int
    folder: Path
    """Where the relative paths of the resulting table start."""

    @property
    def words(self) -> tuple[str, ...]:
        """The options as PM2's command line has them, which a file may look at."""
        named = ("--env", self.environment) if self.environment is not None else ()
        return (*named, *(("--only", ",".join(self.only)) if self.only else ()))


@dataclass(frozen=True, slots=True)
class _LoadedFile:
    table: Mapping[str, object]
    notes: tuple[str, ...] = ()
    folders: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Apps of a PM2 file that only serve a folder, as a site would."""
    pm2: frozenset[str] = frozenset()
    """Apps of a PM2 file that have the port of that file, or none."""


def toml_problem(message: str, text: str) -> Problem:
    """What tomllib says, in the words of an operator's file, with the line."""
    what, _, where = message.rstrip(")").partition(" (at ")
    if where in {"", "end of document"}:
        where = f"line {text.rstrip().count(chr(10)) + 1}"
    if table := re.fullmatch(r"Cannot declare \((.*?),?\) twice", what):
        name = ".".join(part.strip(" '\"") for part in table[1].split(","))
        return Problem(where, f"[{name}] appears twice")
    for beginning, words in _TOML_WORDS.items():
        if what.startswith(beginning):
            return Problem(where, words)
    return Problem(where, what[:1].lower() + what[1:])


def toml_table(path: Path, text: str) -> dict[str, object]:
    """Raises ConfigError, with the lines that are wrong."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), [toml_problem(str(error), text)]) from None
    except RecursionError:
        raise file_error(path, TOO_DEEP_TEXT) from None
    except ValueError as error:  # a number of more digits than Python reads
        raise file_error(path, f"contains a value that cannot be read: {error}") from None


def _toml(path: Path, options: _ReadOptions) -> _LoadedFile:
    own = toml_table(path, read_text(path))
    named = own.pop(ECOSYSTEM, None)
    if named is None:
        if options.only:
            raise ConfigError(str(path), [Problem("--only", "is for a PM2 file")])
        return _LoadedFile(own)
    if not isinstance(named, str):
        raise ConfigError(str(path), [Problem(ECOSYSTEM, "must be the path of a PM2 file")])
    theirs = _pm2(path.parent / named, options)
    pinned = {name for name, app in tables(own.get("apps")).items() if "port" in app}
    return _LoadedFile(
        _merge(own, theirs.table), theirs.notes, theirs.folders, theirs.pm2 - pinned
    )


def _merge(own: Mapping[str, object], theirs: Mapping[str, object]) -> dict[str, object]:
    """Both together; what portico.toml says of an app or upstream wins, key by key."""
    merged = dict(own)
    for which in ("apps", "upstreams"):
        ours, other = own.get(which, {}), tables(theirs.get(which))
        if isinstance(ours, Mapping) and other:
            both = {name: _override(table, ours.get(name, {})) for name, table in other.items()}
            merged[which] = {**ours, **both}
    return merged


def _override(theirs: Mapping[str, object], own: object) -> object:
    if not isinstance(own, Mapping):
        return own  # for the validator to refuse
    replaced = _PROGRAM if own.keys() & {"script", "command"} else frozenset()
    return {key: value for key, value in theirs.items() if key not in replaced} | dict(own)


def _with_ports(table: Mapping[str, object], pm2: frozenset[str]) -> Mapping[str, object]:
    """The table, with ports for those of these apps that a site reaches after all: the one they
    are offered, or a fixed one of theirs. Nor can they have one that nginx has then.
    """
    apps, of_sites = tables(table.get("apps")), pm2 & served_apps(table)
    taken = _edge_ports(table) if of_sites else set()
    for name in of_sites:
        app = apps[name] = {**apps[name], **_port_fallback(apps[name])}
        if not app.get("port") or app.get("port") in taken:
            kept = {key: value for key, value in app.items() if key not in _SILENT_KEYS}
            finds = app.get("instances", 1) == 1 or app.get("port_fallback")
            alone = {"find_port": True} if finds else {}
            apps[name] = alone | kept
    return {**table, "apps": apps} if apps else table


def _port_fallback(app: Mapping[str, object]) -> dict[str, object]:
    """A program of Node may listen on a fixed port: its successor starts beside it anyway."""
    interpreter, script = app.get("interpreter"), str(app.get("script", ""))
    by_node = interpreter is None and script.endswith((".js", ".cjs", ".mjs"))
    return {"port_fallback": True} if by_node or interpreter == "node" else {}


def _edge_ports(table: Mapping[str, object]) -> set[object]:
    from portico.core.config.edge_rules import Machine, edge_ports  # noqa: PLC0415 - as below
    from portico.core.model.edge import Edge  # noqa: PLC0415 - a command knows no other model

    own = table.get("edge")
    default = edge_ports(Edge(), Machine(root=os.geteuid() == 0, cores=1))
    named = own if isinstance(own, Mapping) else {}
    return {named.get(key, port) for key, port in zip(("http", "https"), default, strict=True)}


def _pm2(path: Path, options: _ReadOptions) -> _LoadedFile:
    value = read_export(path, options.environ, options.words)
    taken, found = _take(value, path, path.parent, options)
    if not found:
        # PM2 starts every path in the shell's folder: take that one if the scripts are there
        here = current_folder(options.environ)
        other, found = _take(value, path, here, options)
        if found:
            note = f"paths are relative to {here}, where the scripts are"
            taken = replace(other, notes=(*other.notes, note))
    return _from_pm2_import(taken)


def _from_pm2_import(taken: Pm2Import) -> _LoadedFile:
    names = frozenset(tables(taken.table["apps"]))
    return _LoadedFile(taken.table, taken.notes, taken.folders, names)


def _take(value: object, path: Path, start: Path, options: _ReadOptions) -> tuple[Pm2Import, bool]:
    """The table with its paths from `start`, and whether any script is there."""
    from portico.importers.pm2 import from_pm2  # noqa: PLC0415 - most files are portico.toml

    seen: set[Kind] = set()

    def look(name: str) -> Kind:
        found = kind(options.folder / name)
        seen.add(found)
        return found

    context = Pm2Context(
        look,
        sends=lambda name: sends_ready(options.folder / name),
        which=lambda name: shutil.which(name, path=options.environ.get("PATH")),
        python=sys.executable,
        only=options.only,
        cores=options.cores,
        home=options.environ.get("HOME", "/"),
        environment=options.environment,
        base="" if start == options.folder else str(start),
    )
    taken = from_pm2(value, str(path), context)
    return taken, bool(seen - {"missing"})


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
