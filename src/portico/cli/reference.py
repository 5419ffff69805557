"""The reference of the commands, from their table and what each declares."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import groupby

from portico.cli.arguments import Parser, head_of
from portico.cli.help import EXIT_CODES, HOME
from portico.cli.loading import parser_of
from portico.cli.table import COMMANDS, SHORTHANDS, Command

_COMMON_OPTIONS = ("--home", "-h")


def reference() -> str:
    """The text of `docs/reference/commands.md`."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "<!-- Written by scripts/reference from the code. -->"
    yield ""
    yield f"Every command accepts `--home FOLDER` (state folder: {HOME}) and `--help`."
    yield "Results go to standard output, notes and progress to standard error. Colour is for"
    yield "terminals only, and not with `NO_COLOR`. With `--json` an error is JSON too."
    yield ""
    yield "| exit code | means |"
    yield "|---|---|"
    yield from (f"| {code} | {means} |" for code, means in EXIT_CODES.items())
    for group, commands in groupby(COMMANDS, lambda command: command.group):
        yield ""
        yield f"## {group.capitalize()}"
        for command in commands:
            yield from _command(command)


def _command(command: Command) -> Iterator[str]:
    parser = parser_of(command)
    if parser.forms:
        yield from _forms(command, parser)
        return
    declared = [each for each in parser.declared if not _is_everywhere(each)]
    yield ""
    yield f"### portico {' '.join((command.name, *map(_usage, declared)))}"
    yield ""
    yield command.summary + _other_names(command)
    if declared:
        yield ""
        yield from (f"- `{head_of(each)}`: {each.help}" for each in declared)


def _forms(command: Command, parser: Parser) -> Iterator[str]:
    yield ""
    yield f"### portico {command.name} [WHAT]"
    yield ""
    yield f"{command.summary} Without WHAT: {next(iter(parser.forms))}.{_other_names(command)}"
    for word, form in parser.forms.items():
        yield ""
        yield f"#### {f'portico {command.name} {word} {form.usage}'.rstrip()}"
        yield ""
        yield form.summary
        yield ""
        yield from (f"- `{head}`: {text}" for head, text in parser.form_rows(word, form))


def _is_everywhere(action: argparse.Action) -> bool:
    return bool(set(_COMMON_OPTIONS) & set(action.option_strings))


def _usage(action: argparse.Action) -> str:
    if action.option_strings:
        return f"[{head_of(action).split(', ')[-1]}]"
    if action.nargs == "*":
        return f"[{action.metavar} ...]"
    return f"[{action.metavar}]" if action.nargs == "?" else str(action.metavar)


def _other_names(command: Command) -> str:
    short = [word for word, (name, *_) in SHORTHANDS.items() if name == command.name]
    words = [f"`{word}`" for word in command.words]
    words += [f"`{word}` (with {' '.join(SHORTHANDS[word][1:])})" for word in short]
    return f" Also {', '.join(words)}." if words else ""
