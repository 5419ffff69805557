"""`portico resume`: opens a site that `portico pause` has closed."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.cli.watching import watch_to_its_end


def options(parser: Parser) -> None:
    parser.add_argument("site", metavar="SITE", help="name of the site")
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    client = session.client()
    watch_to_its_end(session, client, client.resume(args.site))
