"""`portico`: finds the command, runs it, and turns what went wrong into an exit code."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TextIO, cast

from portico import __version__
from portico.cli.arguments import Parser, home_option
from portico.cli.help import overview
from portico.cli.loading import load, parser_of
from portico.cli.session import Session, as_json
from portico.cli.table import COMPLETION_COMMAND, find
from portico.cli.terminal import Terminal
from portico.errors import ConfigError, PorticoError
from portico.system.home import Home

if TYPE_CHECKING:
    from io import TextIOWrapper

INTERRUPT_EXIT_CODE: Final = 130  # as shells say it: 128 and SIGINT's number


def main() -> int:
    codecs.register_error("portico", _surrogate_bytes)
    for stream in (sys.stdout, sys.stderr):
        cast("TextIOWrapper", stream).reconfigure(errors="portico")
    try:
        return run(sys.argv[1:], os.environ, sys.stdout, sys.stderr)
    except BrokenPipeError:  # `portico logs | head`: the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _surrogate_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """A byte of a log that is no UTF-8 (PEP 383) as that byte; what the terminal's encoding does
    not have as a question mark.
    """
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101 - nothing else is done with these
    which = error.object[error.start : error.end]
    return b"".join(
        bytes([ord(c) - 0xDC00]) if "\udc80" <= c <= "\udcff" else b"?" for c in which
    ), error.end


def run(argv: Sequence[str], environ: Mapping[str, str], out: TextIO, err: TextIO) -> int:
    """The exit code of a command line; see `help.EXIT_CODES`."""
    terminal = Terminal(out, err, environ)
    try:
        return _run(list(argv), environ, terminal)
    except PorticoError as error:
        if "--json" in argv:
            terminal.write_raw(as_json(_as_json(error)))
        else:
            first, *more = str(error).split("\n")
            terminal.write_stderr("\n".join((terminal.err.paint(first, "red"), *more)))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPT_EXIT_CODE


def _run(argv: list[str], environ: Mapping[str, str], terminal: Terminal) -> int:
    before = Parser("", "")
    home_option(before)
    before.add_argument("-V", "--version", action="store_true")
    before.add_argument("word", nargs="?")
    before.add_argument("rest", nargs="...")
    first = before.parse_args(argv)
    word, rest = first.word, first.rest
    if word == "help":
        word, rest = (rest or [None])[0], ["--help"]
    if word == COMPLETION_COMMAND:
        _complete(rest, environ, terminal)
    elif first.version:
        terminal.write(f"portico {__version__}")
    elif first.help or word is None:
        terminal.write(overview())
    else:
        return _command(word, rest, first.home, environ, terminal)
    return 0


def _command(
    word: str, rest: list[str], home: str | None, environ: Mapping[str, str], terminal: Terminal
) -> int:
    command, given = find(word)
    parser = parser_of(command)
    if {"-h", "--help"} & set(rest):
        terminal.write(parser.help_for(rest).rstrip())
        return 0
    args = parser.parse_line([*given, *rest])
    named = args.home or home
    found = Home.find({**environ, "PORTICO_HOME": named} if named else environ, root=_is_root())
    session = Session(found, environ, terminal, json=getattr(args, "json", False))
    return load(command).run(session, args) or 0


def _complete(words: list[str], environ: Mapping[str, str], terminal: Terminal) -> None:
    from portico.cli.completing import candidates  # noqa: PLC0415 - shells alone need it

    for word in candidates(words, environ, root=_is_root()):
        terminal.write(word)


def _is_root() -> bool:
    return os.geteuid() == 0


def _as_json(error: PorticoError) -> dict[str, object]:
    """The shape of views.ErrorView."""
    problems = error.problems if isinstance(error, ConfigError) else ()
    return {
        "error": str(error),
        "exit_code": error.exit_code,
        "source": error.source if isinstance(error, ConfigError) else "",
        "problems": [
            {"where": each.where, "what": each.what, "hint": each.hint} for each in problems
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
