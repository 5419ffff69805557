"""`portico history`: the files that were applied."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.core.model import verbs
from portico.core.model.moments import moment


def options(parser: Parser) -> None:
    parser.add_argument(
        "--project",
        metavar="PROJECT",
        help="only of this project; default: that of this folder, or all",
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    revisions = session.client().ask(verbs.HISTORY, project=args.project)
    if session.json:
        session.show_json(revisions)
        return
    rows = [
        (
            str(each.number),
            each.project,
            moment(each.applied),
            each.who,
            each.source,
            ", ".join(each.folders),
            "*" * each.current,
        )
        for each in revisions
    ]
    heads = ("revision", "project", "applied", "who", "file", "releases", "in force")
    session.terminal.table(heads, rows)
