"""`portico run`: becomes the daemon, in the foreground."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping

from portico.cli.arguments import Parser
from portico.cli.session import Session
from portico.client.connect import DAEMON
from portico.errors import ConfigError
from portico.importers.read import current_folder, find_file


def options(parser: Parser) -> None:
    parser.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        help="a file or its folder; default: the current folder, or the file in force if that has "
        "none",
    )


def run(session: Session, args: Namespace) -> None:
    program = command_line(args.path, session.environ)
    environ = {**session.environ, "PORTICO_HOME": str(session.home.path)}
    os.execve(program[0], program, environ)  # noqa: S606 - the same Python, no shell


def command_line(path: str | None, environ: Mapping[str, str]) -> list[str]:
    """The daemon's. ConfigError when a path was given and there is nothing."""
    try:
        file = find_file(current_folder(environ) / (path or "."))
    except ConfigError:
        if path is not None:
            raise
        return [*DAEMON, "--foreground"]
    return [*DAEMON, "--foreground", "--up", str(file)]
