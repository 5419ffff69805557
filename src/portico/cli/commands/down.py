"""`portico down`: stops everything, and the daemon leaves."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.cli.watching import watch_to_its_end


def options(parser: Parser) -> None:
    parser.add_argument("--now", action="store_true", help="do not wait for open requests to end")
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    client = session.client()
    watch_to_its_end(session, client, client.down(now=args.now))
