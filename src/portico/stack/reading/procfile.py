"""Procfiles, as foreman and Heroku read them: `web` gets a port, the others are workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

from portico.core.model.labels import app_label
from portico.core.planning.shell_words import split
from portico.stack.model import Gap, Place, Program, Stack
from portico.stack.reading.text_files import plain_text, quote_line

_LINE: Final = re.compile(r"(?P<name>[A-Za-z0-9_-]+):\s*(?P<command>\S.*)")
_PORT: Final = re.compile(r"\$(PORT\b|\{PORT\b)")
_WEB, _RELEASE = "web", "release"


def read_procfile(path: Path) -> Stack:
    """With the file `.env` next to it, which foreman reads. Raises Failed."""
    found = tuple(_programs(path, plain_text(path)))
    programs = tuple(each for each in found if isinstance(each, Program))
    return Stack(
        programs=programs,
        gaps=tuple(each for each in found if isinstance(each, Gap)),
        files=(str(path),),
    )


class _AnyVariable(dict[str, str]):
    """Has every variable: what a command needs a shell for is no question of their values."""

    def __contains__(self, _: object) -> bool:
        return True

    def __missing__(self, _: str) -> str:
        return "1"


def _programs(path: Path, text: str) -> Iterator[Program | Gap]:
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    found = [(number, line, _LINE.fullmatch(line)) for number, line in lines]
    has_release = any(match and match["name"] == _RELEASE for _, _, match in found)
    env_file = {"env_file": ".env"} if (path.parent / ".env").is_file() else {}
    used: set[str] = set()
    for number, line, match in found:
        place = Place(str(path), number)
        if match is None:
            if line and not line.startswith("#"):
                yield Gap(place, quote_line(line), "this is not a line `name: command`")
            continue
        name, command = match["name"], match["command"]
        after = {"after": [_RELEASE]} if has_release and name != _RELEASE else {}
        try:
            table = {"command": app_command(command), **env_file, **_kind(name, command), **after}
        except ValueError as error:
            yield Gap(place, quote_line(line), str(error))
            continue
        yield Program(_name(name, used), place, "procfile", table)


def _name(written: str, used: set[str]) -> str:
    short = app_label(written) or "app"
    name = next(
        each for n in count(1) if (each := short if n == 1 else f"{short}-{n}") not in used
    )
    used.add(name)
    return name


def app_command(text: str) -> object:
    """A command line as `command`: a list for a shell where it needs one. ValueError if it has an
    open quote.
    """
    try:
        split(text, _AnyVariable())
    except ValueError as error:
        if "is not run by a shell" not in str(error):
            raise
        return ["/bin/sh", "-c", text]
    return text


def _kind(name: str, command: str) -> dict[str, object]:
    if name == _RELEASE:
        return {"port": False, "autorestart": False}
    return {} if name == _WEB or _PORT.search(command) else {"port": False}
