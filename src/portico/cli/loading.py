"""The module of a command, imported only when it is asked for: `status` shall not pay for `up`."""

from __future__ import annotations

from importlib import import_module
from keyword import iskeyword
from typing import TYPE_CHECKING, Protocol, cast

from portico.cli.arguments import Parser, home_option
from portico.cli.session import Session
from portico.cli.table import Command

if TYPE_CHECKING:
    from argparse import Namespace


class CommandModule(Protocol):
    """What each file in `commands/` has."""

    def options(self, parser: Parser) -> None: ...

    def run(self, session: Session, args: Namespace) -> int | None:
        """The exit code, where it is not 0."""


def load(command: Command) -> CommandModule:
    if command.verb is not None:
        from portico.cli.verb_command import VerbCommand  # noqa: PLC0415 - other commands need none

        return VerbCommand(command.verb)
    name = f"{command.name}_" if iskeyword(command.name) else command.name
    return cast("CommandModule", import_module(f"portico.cli.commands.{name}"))


def parser_of(command: Command) -> Parser:
    parser = Parser(command.name, command.summary)
    load(command).options(parser)
    home_option(parser)
    return parser
