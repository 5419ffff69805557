"""`portico trust`: makes this machine trust the local certificate authority."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.core.model import certificate_verbs


def options(parser: Parser) -> None:
    parser.add_argument("--remove", action="store_true", help="remove the certificate again")
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    view = session.client(start=True).ask(certificate_verbs.TRUST, remove=args.remove)
    if session.json:
        session.show_json(view)
        return
    done = "removed from" if args.remove else "installed in"
    for place in view.installed:
        session.terminal.write(f"{session.terminal.out.paint(done, 'green')} {place}")
    for place in view.skipped:
        session.terminal.write(f"{session.terminal.out.paint('skipped:', 'yellow')} {place}")
    session.terminal.write(f"the root certificate is {view.root}")
