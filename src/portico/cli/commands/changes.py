"""`portico changes`: long operations, in progress and lately ended."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.cli.terminal import Style
from portico.core.model import verbs
from portico.core.model.moments import moment

STATES: Final[dict[str, Style]] = {"failed": "red", "done": "green", "doing": "yellow"}


def options(parser: Parser) -> None:
    json_option(parser)


def run(session: Session, _: Namespace) -> None:
    changes = session.client().ask(verbs.CHANGES)
    if session.json:
        session.show_json(changes)
        return
    rows = [
        (each.id, f"{each.kind} {each.subject}".strip(), each.state, moment(each.started))
        for each in changes
    ]
    session.terminal.table(("change", "what", "state", "since"), rows, STATES)
    for change in changes:
        if change.error:
            session.terminal.write(f"{change.id}: {change.error}")
