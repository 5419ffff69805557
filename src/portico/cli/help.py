"""The text of `portico --help`."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from portico.cli.table import COMMANDS, Command

EXIT_CODES: Final = {
    0: "done",
    1: "failed; the message says what is still in effect",
    2: "invalid file or request; nothing was changed",
    3: "the daemon does not answer",
    130: "interrupted; the daemon continues what it started",
}
HOME: Final = "PORTICO_HOME, else /var/lib/portico as root, else the XDG state folder"


def overview() -> str:
    lines = ["usage: portico [--home FOLDER] COMMAND …", ""]
    for group, commands in groupby(COMMANDS, lambda command: command.group):
        lines += [f"{group}:", *map(_line, commands), ""]
    lines += [
        "`portico COMMAND --help` shows its options. Most commands accept --json.",
        f"State folder, --home FOLDER: {HOME}.",
        "",
        "exit codes:",
        *(f"  {code:<5} {means}" for code, means in EXIT_CODES.items()),
    ]
    return "\n".join(lines)


def _line(command: Command) -> str:
    also = f" ({', '.join(command.words)})" if command.words else ""
    return f"  {command.name:<11} {command.summary}{also}"
