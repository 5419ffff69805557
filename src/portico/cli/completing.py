"""What may come next on a command line that is being typed."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from portico.cli.arguments import Parser
from portico.cli.loading import parser_of
from portico.cli.table import COMMANDS, find
from portico.client.client import Client
from portico.core.model import verbs
from portico.errors import PorticoError
from portico.system.home import Home

_NAME_ARGUMENTS = frozenset({"APP", "PROJECT", "SITE"})


def candidates(words: Sequence[str], environ: Mapping[str, str], *, root: bool) -> list[str]:
    """Words for the last one of `words`, which follow `portico`; empty where files are meant.

    Never fails and starts no daemon: a wrong line has no completion.
    """
    *before, typed = words or [""]
    try:
        found = _candidates(before, typed, environ, root=root)
    except PorticoError:
        return []
    return [word for word in found if word.startswith(typed)]


def _candidates(
    before: list[str], typed: str, environ: Mapping[str, str], *, root: bool
) -> list[str]:
    if before[:1] == ["help"]:
        return [command.name for command in COMMANDS]
    if not before:
        return [*(command.name for command in COMMANDS), "--home", "--help", "--version"]
    parser = parser_of(find(before[0])[0])
    if typed.startswith("-"):
        return [name for action in parser.declared for name in action.option_strings]
    action = _expected_argument(parser, before[1:])
    if action is None:
        return []
    if action.metavar in _NAME_ARGUMENTS:
        return _names(str(action.metavar), Home.find(environ, root=root))
    return [str(choice) for choice in action.choices or ()]


def _expected_argument(parser: Parser, given: list[str]) -> argparse.Action | None:
    """The argument that the next word is for."""
    options = {name: each for each in parser.declared for name in each.option_strings}
    if given and (last := options.get(given[-1])) is not None and last.nargs != 0:
        return last
    values = {
        index + 1
        for index, word in enumerate(given)
        if word in options and options[word].nargs != 0
    }
    free = [
        word
        for index, word in enumerate(given)
        if index not in values and not word.startswith("-")
    ]
    places = [action for action in parser.declared if not action.option_strings]
    return places[len(free)] if len(free) < len(places) else None


def _names(metavar: str, home: Home) -> list[str]:
    client = Client(home.socket)
    if not client.answers():
        return []
    status = client.ask(verbs.STATUS)
    if metavar == "SITE":
        return [each.name for each in status.sites]
    projects = [each.name for each in status.projects]
    if metavar == "PROJECT":
        return projects
    names = [each.name for each in status.apps]
    return (
        names
        if len(projects) <= 1
        else [
            *dict.fromkeys(names),
            *(f"{each.project}/{each.name}" for each in status.apps),
            *projects,
        ]
    )
