"""`portico delete`: stops an app and forgets it."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser, app_argument, json_option
from portico.cli.session import Session
from portico.cli.watching import watch_to_its_end


def options(parser: Parser) -> None:
    app_argument(parser)
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    client = session.client()
    watch_to_its_end(session, client, client.delete(args.app))
