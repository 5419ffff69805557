"""`portico render`: the nginx configuration of a file, or the one in force."""

from __future__ import annotations

from argparse import Namespace

from portico.cli import documents
from portico.cli.arguments import Parser, file_arguments
from portico.cli.session import Session
from portico.core.model import verbs


def options(parser: Parser) -> None:
    file_arguments(parser)
    parser.add_argument("--current", action="store_true", help="for the file in force")


def run(session: Session, args: Namespace) -> None:
    if args.current:
        view = session.client().ask(verbs.RENDER)
    else:
        found = documents.read(session, args)
        view = session.client(start=True).ask(verbs.RENDER, document=documents.request(found))
    if session.json:
        session.show_json(view)
        return
    for name, text in view.files.items():
        session.terminal.write(session.terminal.out.paint(f"# {name}", "bold"))
        session.terminal.write_raw(text)
