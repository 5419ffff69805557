"""The first portico.toml of a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from portico.core.model.labels import project_name
from portico.errors import Failed, Refused
from portico.importers.read import file_in
from portico.stack.starting.start import Start
from portico.system.files import write_new

_COMMENTS: Final = {
    "find_port": "        # where the program listens, if it does not use $PORT",
    "port_fallback": "    # and let a second one listen on $PORT",
}


def first_file(found: Sequence[Start], folder: Path, domain: str = "") -> str:
    """Its text. The first program that listens gets the site, and a folder each has one."""
    shown = sites(found, folder, domain)
    lines = [line for start in found for line in _app(start)]
    for name, start in shown.items():
        lines += _site(name, start)
    return "\n".join(lines).strip() + "\n"


def sites(found: Sequence[Start], folder: Path, domain: str = "") -> dict[str, Start]:
    """What clients reach, by the name of its site."""
    reached = [each for each in found if each.listens or each.folder]
    own = domain or f"{project_name({}, str(folder)).replace('_', '-')}.localhost"
    ending = own if domain else "localhost"
    if len(reached) == 1 or any(each.name == "web" for each in reached):
        main = next((each for each in reached if each.name == "web"), *reached[:1])
        others = [each for each in reached if each is not main]
        return {own: main} | {_local_name(each, ending): each for each in others}
    return {_local_name(each, ending): each for each in reached}


def write_first_file(text: str, folder: Path) -> Path:
    """Refused where the folder has a file that `portico up` reads."""
    if there := file_in(folder):
        raise Refused(f"{there} exists; nothing was changed. `portico up` reads it")
    path = folder / "portico.toml"
    try:
        write_new(path, text, 0o644)
    except FileExistsError:
        raise Refused(f"{path} exists; nothing was changed") from None
    except OSError as error:
        raise Failed(f"cannot write {path}: {error.strerror}") from error
    return path


def _local_name(start: Start, ending: str) -> str:
    label = re.sub(r"[^a-z0-9-]+", "-", start.name).strip("-") or "web"
    return f"{label}.{ending}"


def _app(start: Start) -> Iterator[str]:
    if start.table is None:
        return
    yield f"[apps.{start.name}]"
    for key, value in start.table.items():
        yield f"{key} = {_value(value)}{_COMMENTS.get(key, '')}"
    if start.listens and "find_port" not in start.table and "port" not in start.table:
        yield '# instances = "max"   # one per core'
    yield ""


def _site(name: str, start: Start) -> Iterator[str]:
    yield f"[sites.{json.dumps(name)}]"
    if start.table is not None:
        yield f"app = {_value(start.name)}"
    elif start.spa:
        yield f"folder = {{ path = {_value(start.folder)}, spa = true }}"
    else:
        yield f"folder = {_value(start.folder)}"
    yield ""


def _value(value: object) -> str:
    """JSON is TOML here: text, numbers, true and false, lists of them; but not tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
