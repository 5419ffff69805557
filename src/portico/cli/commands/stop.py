"""`portico stop`: stops an app, or all; they stay known and `start` brings them back."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.acting import act
from portico.cli.arguments import Parser, apps_argument
from portico.cli.session import Session


def options(parser: Parser) -> None:
    apps_argument(parser)


def run(session: Session, args: Namespace) -> None:
    act(session, "stop", args.app)
