"""The master process of an nginx that Portico has not started, by the title that it shows."""

from __future__ import annotations

import re
from typing import Final

from portico.errors import Failed
from portico.system.commands import run_tool
from portico.system.proc import read

VERSION_TIMEOUT: Final = 10.0
"""Seconds that `nginx -V` may take."""
_TITLE: Final = "nginx: master process "
_OPTION: Final = re.compile(r"(?:^|(?<=\s))-(?P<name>[cepg])\s+(?P<value>.*?)(?=\s+-[cepg]\s|$)")


def command_of(pid: int) -> str | None:
    """The command line in its title; None if the process is no master of an nginx. Any program can
    call itself so.
    """
    try:
        title = read(f"/proc/{pid}/cmdline").rstrip(b"\0").decode(errors="replace")
    except OSError:
        return None
    return title.removeprefix(_TITLE) if title.startswith(_TITLE) else None


def version_output(program: str) -> str:
    """What `nginx -V` of a program prints; empty where it cannot be run. Blocks."""
    try:
        return run_tool((program, "-V"), {}, seconds=VERSION_TIMEOUT).stderr
    except Failed:
        return ""


def arguments_of(command: str) -> tuple[str, ...]:
    """The options of a command line in a title: nginx writes its words there with blanks between
    them, so `-g daemon on; master_process on;` is one value.
    """
    return tuple(
        word
        for found in _OPTION.finditer(command)
        for word in (f"-{found['name']}", found["value"].strip())
    )
