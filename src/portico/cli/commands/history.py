"""`portico history`: the files that were applied."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.core.model import verbs
from portico.core.model.moments import moment


def options(parser: Parser) -> None:
    json_option(parser)


def run(session: Session, _: Namespace) -> None:
    revisions = session.client().ask(verbs.HISTORY)
    if session.json:
        session.show_json(revisions)
        return
    rows = [
        (
            str(each.number),
            moment(each.applied),
            each.who,
            each.source,
            ", ".join(each.folders),
            "*" * each.current,
        )
        for each in revisions
    ]
    session.terminal.table(("revision", "applied", "who", "file", "releases", "in force"), rows)
