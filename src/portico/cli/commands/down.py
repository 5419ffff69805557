"""`portico down`: stops everything, and the daemon leaves if a command has started it."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.cli.watching import watch_and_report
from portico.client.stopping import EXIT_TIMEOUT, mode_of
from portico.core.model import verbs
from portico.system.waiting import wait_for


def options(parser: Parser) -> None:
    parser.add_argument(
        "--now",
        action="store_true",
        help="do not wait for open requests; give apps one second",
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    client = session.client()
    leaves = mode_of(client.ask(verbs.STATUS).daemon) == "command"
    watch_and_report(session, client, client.ask(verbs.DOWN, now=args.now))
    if leaves:  # so that whoever comes next does not meet it on its way out
        wait_for(lambda: not client.answers(), EXIT_TIMEOUT)
