"""What a file of PM2 exports, whichever language it is written in, as JSON values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from portico.errors import ConfigError, Problem
from portico.importers.javascript import evaluate
from portico.importers.pm2_context import Kind
from portico.importers.pm2_dump import entries
from portico.system.text import MAX_FILE_SIZE, file_error, line_of

TOO_DEEP_TEXT: Final = "is nested too deeply"
_SCRIPTS: Final = (".js", ".cjs", ".mjs")
_DUMP: Final = re.compile(r"dump\.pm2(\.bak)?")
_HEAD = 8192  # bytes that show whether a file is text


def read_export(path: Path, environ: Mapping[str, str], words: Sequence[str] = ()) -> object:
    """Raises ConfigError when the file cannot be read. Blocks while Node evaluates it.

    `words` are the options of the command line that JavaScript sees.
    """
    text = read_text(path)
    if path.suffix in {".yaml", ".yml"}:
        return _yaml(path, text)
    if _DUMP.fullmatch(path.name):
        return entries(_json(path, text), environ)
    if path.suffix == ".json":
        try:
            return json.loads(text)
        except ValueError:
            return _evaluate(path, environ, words)  # PM2's JSON may have comments
        except RecursionError:
            raise file_error(path, TOO_DEEP_TEXT) from None
    if path.name.endswith(tuple(f".config{ending}" for ending in _SCRIPTS)):
        return _evaluate(path, environ, words)
    if path.suffix in _SCRIPTS:
        hint = f'run it with a portico.toml: [apps.{path.stem}] script = "{path.name}"'
        raise file_error(path, "is a program, not a *.config.js with settings", hint)
    raise file_error(
        path, "has an unknown file type", "supported are portico.toml and PM2's files"
    )


def read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise file_error(path, f"cannot be read: {error.strerror}") from None
    if len(raw) > MAX_FILE_SIZE:
        raise file_error(path, f"is larger than {MAX_FILE_SIZE} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = Problem(f"line {line_of(error)}", "is not UTF-8 text")
        raise ConfigError(str(path), [problem]) from None


def kind(path: Path) -> Kind:
    """As the system sees it: a text that begins with `#!/bin/sh` runs by itself."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except IsADirectoryError:
        return "folder"
    except (OSError, ValueError):  # a name that no file can have
        return "missing"
    first = head.split(b"\n", 1)[0]
    foreign = first.startswith(b"#!") and not re.search(rb"\b(node|bun)\b", first)
    return "program" if foreign or b"\0" in head else "text"


def _json(path: Path, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise file_error(path, f"is not JSON: {error}") from None
    except RecursionError:
        raise file_error(path, TOO_DEEP_TEXT) from None


def _evaluate(path: Path, environ: Mapping[str, str], words: Sequence[str]) -> object:
    """Node follows links for `__dirname`: where the file was named through one, as `current`, its
    folder is called by that name, so that the next release is found there.
    """
    value, folder = evaluate(path, environ, words), str(path.parent)
    real = str(path.parent.resolve())
    return value if real == folder else _with_folder(value, real, folder)


def _with_folder(value: object, real: str, named: str) -> object:
    match value:
        case str() if value == real or value.startswith(f"{real}/"):
            return named + value.removeprefix(real)
        case list():
            return [_with_folder(each, real, named) for each in value]
        case dict():
            return {key: _with_folder(each, real, named) for key, each in value.items()}
        case _:
            return value


def _yaml(path: Path, text: str) -> object:
    import yaml  # noqa: PLC0415 - only YAML files shall cost its start time

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else path.name
        what = getattr(error, "problem", None) or str(error)
        raise ConfigError(str(path), [Problem(where, what)]) from None
    except RecursionError:
        raise file_error(path, TOO_DEEP_TEXT) from None
    except ValueError as error:  # the 30th of February
        raise file_error(path, f"contains a value that cannot be read: {error}") from None
