"""`portico reload`: replaces the instances of an app, or of all, losing no request."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.acting import act
from portico.cli.arguments import Parser, apps_argument
from portico.cli.session import Session


def options(parser: Parser) -> None:
    apps_argument(parser, one=True)


def run(session: Session, args: Namespace) -> None:
    act(session, "reload", args.app)
