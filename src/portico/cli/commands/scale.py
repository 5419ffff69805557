"""`portico scale`: so many instances of an app."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser, app_argument, json_option
from portico.cli.session import Session
from portico.cli.watching import watch_to_its_end


def options(parser: Parser) -> None:
    app_argument(parser)
    parser.add_argument("instances", metavar="N", type=int, help="how many, 1 to 1000")
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    client = session.client()
    watch_to_its_end(session, client, client.scale(args.app, args.instances))
