"""`portico events`: what was done, why, and who asked for it."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser, json_option, whole_number
from portico.cli.session import Session
from portico.core.model import verbs
from portico.core.model.labels import app_or_instance
from portico.core.model.moments import moment


def options(parser: Parser) -> None:
    parser.add_argument(
        "app", metavar="APP", nargs="?", type=app_or_instance, help="only of this app"
    )
    parser.add_argument(
        "-n",
        "--lines",
        type=whole_number,
        metavar="N",
        help="show the last N events; default: 100",
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    events = session.client().ask(verbs.EVENTS, app=args.app, count=args.lines)
    if session.json:
        session.show_json(events)
        return
    rows = [
        (moment(each.at), each.kind, each.subject.replace("*", "all"), each.text)
        for each in reversed(events)
    ]
    session.terminal.table(("time", "event", "of", "why"), rows)
