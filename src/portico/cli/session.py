"""What every command has at hand: the home, the daemon, and the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from portico.cli.terminal import Terminal
from portico.client.client import Client
from portico.client.connect import connect
from portico.system.home import Home


def as_json(value: object) -> str:
    """In ASCII; what a terminal would obey is escaped as JSON does it."""
    return json.dumps(value, indent=2).replace("\x7f", "\\u007f")


@dataclass(frozen=True, slots=True)
class Session:
    home: Home
    environ: Mapping[str, str]
    terminal: Terminal
    json: bool
    """Standard output is for a program: JSON and nothing else."""

    def client(self, *, start: bool = False) -> Client:
        """The daemon; started where there is something to adopt, or where it is asked for."""
        return connect(self.home, self.environ, start=start)

    def show_json(self, value: object) -> None:
        self.terminal.write_raw(as_json(value))
