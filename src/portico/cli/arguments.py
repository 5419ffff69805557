"""Arguments of commands: argparse, with errors that are ours, and the arguments many share.

Click and typer would cost three times what argparse does in start time, which is most of what
`portico status` may take.
"""

from __future__ import annotations

import argparse
from collections.abc import Container, Mapping
from typing import Any, Final, NamedTuple, NoReturn

from portico.core.model.labels import app_or_instance
from portico.core.model.moments import parse_moment
from portico.errors import Refused

HELP_WIDTH: Final = 100
MAX_HEAD_WIDTH: Final = 24
_PM2_OPTIONS: Final = {
    "--env": "`portico up FILE --env NAME` applies a PM2 file with it",
    "--only": "`portico up FILE --only APP` applies a part of a PM2 file",
    "--update-env": "with inherit_env, `portico up` reads this shell, and "
    "`portico reload APP` uses its variables",
}
"""What options of PM2 are here, where a command does not have them."""


class Form(NamedTuple):
    """What a first word of a command does."""

    usage: str
    """What follows the word."""
    summary: str
    allowed: str
    """The arguments that it accepts, as attributes of what is parsed, in order."""
    heads: Mapping[str, str] = {}
    """By argument, what its value is called, where that is not its metavar."""


class Parser(argparse.ArgumentParser):
    def __init__(self, name: str, summary: str) -> None:
        self.declared: list[argparse.Action] = []
        """What the command takes, for completion and the reference."""
        self.takes_words = False
        """Whether what follows `--` is `words`, which belong to a program."""
        self.is_mixed = False
        """Whether several words without an option may have options between them."""
        self.forms: Mapping[str, Form] = {}
        """By first word, where that decides what else the command takes."""
        prog = f"portico {name}".strip()
        super().__init__(prog=prog, description=summary, add_help=False, allow_abbrev=False)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        action = super().add_argument(*names, **options)
        self.declared.append(action)
        return action

    def parse_line(self, line: list[str]) -> argparse.Namespace:
        end = line.index("--") if self.takes_words and "--" in line else len(line)
        parse = self.parse_intermixed_args if self.is_mixed else self.parse_args
        args = parse(line[:end])
        if self.takes_words:
            args.words = line[end + 1 :]
        return args

    def help_for(self, line: list[str]) -> str:
        """With its options, or where it has forms with those of the one that is named."""
        word = next((each for each in line if each in self.forms), None)
        if not self.forms:
            return self.format_help()
        return self._form_help(word, self.forms[word]) if word else self._forms_help()

    def _forms_help(self) -> str:
        width = max(map(len, self.forms))
        lines = (f"  {word:<{width}}  {form.summary}" for word, form in self.forms.items())
        usage, default = f"usage: {self.prog} [WHAT …]", next(iter(self.forms))
        hint = f"Without WHAT: {default}. `{self.prog} WHAT --help` shows its options."
        return "\n".join((usage, "", str(self.description), "", *lines, "", hint))

    def _form_help(self, word: str, form: Form) -> str:
        from textwrap import wrap  # noqa: PLC0415 - only a help pays for it

        rows = self.form_rows(word, form)
        usage = f"usage: {self.prog} {word} {form.usage}".rstrip()
        width = min(max(len(head) for head, _ in rows), MAX_HEAD_WIDTH)
        lines = [usage, "", form.summary, ""]
        for head, text in rows:
            first, *more = wrap(text, HELP_WIDTH - width - 4) or [""]
            is_long, indent = len(head) > width, " " * (width + 4)
            lines += [f"  {head}", indent + first] if is_long else [f"  {head:<{width}}  {first}"]
            lines += (indent + line for line in more)
        return "\n".join(lines)

    def form_rows(self, word: str, form: Form) -> list[tuple[str, str]]:
        """What it accepts, each with its help."""
        every = {each.dest: each for each in self.declared}
        shown = [every[name] for name in (*form.allowed.split(), "json")]
        return [
            (
                form.heads.get(each.dest) or head_of(each),
                part_of_help(str(each.help), word, self.forms),
            )
            for each in shown
        ]

    def error(self, message: str) -> NoReturn:
        words = message.split() if message.startswith("unrecognized") else ()
        hint = next((_PM2_OPTIONS[each] for each in words if each in _PM2_OPTIONS), "")
        raise Refused(f"{self.prog}: {message}; {hint or f'see {self.prog} --help'}")


def head_of(action: argparse.Action) -> str:
    value = f" {action.metavar or '…'}" if action.nargs != 0 else ""
    return f"{', '.join(action.option_strings)}{value}".strip()


def part_of_help(text: str, word: str, words: Container[str]) -> str:
    """Of `init: name of this machine; join: the address; default: none` what is of the word."""
    parts, is_its = list[str](), True
    for part in text.split("; "):
        head, _, rest = part.partition(": ")
        named = head.split(", ")
        has_words = bool(rest) and all(each in words for each in named)
        is_its = word in named if has_words else is_its
        if is_its:
            parts.append(rest if has_words else part)
    return "; ".join(parts)


def without_absent_option(parser: Parser) -> None:
    parser.add_argument(
        "--without-absent",
        action="store_true",
        help="in a cluster with a store: leave absent machines out; they follow when back",
    )


def here_option(parser: Parser) -> None:
    parser.add_argument(
        "--here",
        action="store_true",
        help="in a cluster with a store: on this machine alone, also without the store",
    )


def absent_machines(args: argparse.Namespace) -> dict[str, str]:
    """The query of a verb that `without_absent_option` is of."""
    return {"without_absent": "1"} if args.without_absent else {}


def refuse_others(command: str, args: argparse.Namespace, allowed: str) -> None:
    """Of a command whose first word decides which arguments have an effect: one without may stand
    where another word was meant.
    """
    for key, value in vars(args).items():
        if value and key not in {"what", "json", "home", "help", *allowed.split()}:
            named = "NAME" if key == "name" else f"--{key.replace('_', '-')}"
            raise Refused(f"`portico {command} {args.what}` does not accept {named}")


def whole_number(text: str) -> int:
    """The type of an argument."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None


def number_or_change(text: str) -> int | str:
    """The type of an argument: `3`, or `+3` and `-3` as they are written."""
    number = whole_number(text)
    return text if text.startswith(("+", "-")) else number


def time_options(parser: Parser) -> None:
    """Which part of what was written is shown, by time."""
    parser.add_argument(
        "--since",
        metavar="TIME",
        type=_moment,
        help='from this time: "10m" for ten minutes ago, or "2026-11-29T10:00" in UTC',
    )
    parser.add_argument("--until", metavar="TIME", type=_moment, help="up to this time")


def _moment(text: str) -> float:
    from portico.system.clock import SystemClock  # noqa: PLC0415 - only who asks by time pays for it

    try:
        return parse_moment(text, SystemClock().now())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def home_option(parser: Parser) -> None:
    parser.add_argument("--home", metavar="FOLDER", help="state folder: PORTICO_HOME")
    parser.add_argument("-h", "--help", action="store_true", help="show this help")


def json_option(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def project_option(parser: Parser) -> None:
    parser.add_argument(
        "--project",
        metavar="PROJECT",
        help="name of the project; default: that of this folder, or the only one",
    )


def file_arguments(parser: Parser) -> None:
    """A file, and how one of PM2 is read. `documents.read` takes them."""
    parser.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        help="portico.toml or a PM2 file, its folder, or the name of a project in force; "
        "default: the current folder",
    )
    parser.add_argument(
        "--site",
        metavar="NAME[=APP]",
        help="add a site with this domain name for the file's app",
    )
    parser.add_argument("--env", metavar="NAME", help="for a PM2 file: also use env_NAME")
    parser.add_argument(
        "--only",
        metavar="APP[,APP]",
        help="for a PM2 file: start no other apps; those that run are unchanged",
    )
    json_option(parser)


def app_argument(parser: Parser) -> None:
    parser.add_argument("app", metavar="APP", type=app_or_instance, help="name of the app")
