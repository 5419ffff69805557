"""Commands that are nothing but a verb: they ask for a change and wait for its end."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from portico.cli.arguments import (
    Parser,
    absent_machines,
    here_option,
    json_option,
    number_or_change,
    project_option,
    whole_number,
    without_absent_option,
)
from portico.cli.session import Session
from portico.cli.watching import watch_and_report
from portico.core.model.labels import app_or_instance
from portico.core.model.verb import Argument, Verb
from portico.core.model.verbs import DELETE, HERE, PROJECT, WITHOUT_ABSENT
from portico.errors import Refused

_FILES: Final = (".toml", ".js", ".cjs", ".mjs", ".json", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class VerbCommand:
    verb: Verb[Any]

    def options(self, parser: Parser) -> None:
        for argument in self.verb.arguments:
            parser.add_argument(
                argument.name,
                metavar=argument.metavar,
                nargs="?" if argument.is_optional else None,
                type=_type(argument),
                help=argument.help,
            )
        if PROJECT in self.verb.query:
            project_option(parser)
        if WITHOUT_ABSENT in self.verb.query:
            without_absent_option(parser)
        if HERE in self.verb.query:
            here_option(parser)
        json_option(parser)

    def run(self, session: Session, args: Namespace) -> None:
        given = {each.name: getattr(args, each.name) for each in self.verb.arguments}
        if PROJECT in self.verb.query:
            given[PROJECT] = args.project
        if "app" in given:
            optional = next(each.is_optional for each in self.verb.arguments if each.name == "app")
            given["app"] = _app(given["app"])
            if given["app"] in {None, "all"} and not optional:
                hint = "; `portico down --all` stops and removes all of them, and nginx"
                raise Refused(
                    f"portico {self.verb.name} needs the name of one app"
                    + (hint if self.verb is DELETE else "")
                )
        if WITHOUT_ABSENT in self.verb.query:
            given |= absent_machines(args)
        if HERE in self.verb.query and args.here:
            given[HERE] = "1"
        client = session.client()
        watch_and_report(session, client, client.ask(self.verb, **given))


def _type(argument: Argument) -> Callable[[str], int | str]:
    if argument.is_relative:
        return number_or_change
    return whole_number if argument.is_number else str


def _app(name: str | None) -> str | None:
    """PM2's users also name a file here."""
    if name and name.endswith(_FILES):
        raise Refused(f"{name} is a file, not an app; `portico up {name}` applies it")
    return app_or_instance(name) if name else None
