"""`portico follow`: waits for a change that somebody began."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.cli.watching import watch_and_report
from portico.core.model import verbs
from portico.errors import NotFound

if TYPE_CHECKING:
    from portico.client.client import Client
    from portico.core.model.views import ChangeView


def options(parser: Parser) -> None:
    parser.add_argument(
        "change", metavar="ID", nargs="?", help="id of the change; default: the newest"
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    client = session.client()
    change = client.ask(verbs.CHANGE, change=args.change) if args.change else _newest(client)
    watch_and_report(session, client, change)


def _newest(client: Client) -> ChangeView:
    changes = client.ask(verbs.CHANGES)
    if not changes:
        raise NotFound("no change since the daemon started")
    return max(changes, key=lambda change: change.started)
