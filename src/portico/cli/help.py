"""The text of `portico --help`."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from portico.cli.table import COMMANDS, Command

EXIT_CODES: Final = {
    0: "done",
    1: "it was tried and failed; the text says what still holds",
    2: "the file or the request is wrong; nothing was changed",
    3: "no daemon answers",
    130: "interrupted; what the daemon had begun goes on",
}
HOME: Final = "PORTICO_HOME, else /var/lib/portico as root, else the XDG state folder"


def overview() -> str:
    lines = ["usage: portico [--home FOLDER] COMMAND …", ""]
    for group, commands in groupby(COMMANDS, lambda command: command.group):
        lines += [f"{group}:", *map(_line, commands), ""]
    lines += [
        "`portico COMMAND --help` says more. Most commands take --json.",
        f"State lies in --home FOLDER: {HOME}.",
        "",
        "exit codes:",
        *(f"  {code:<5} {means}" for code, means in EXIT_CODES.items()),
    ]
    return "\n".join(lines)


def _line(command: Command) -> str:
    also = f" ({', '.join(command.words)})" if command.words else ""
    return f"  {command.name:<11} {command.says}{also}"
