"""`portico plan`: what `up` would do."""

from __future__ import annotations

from argparse import Namespace

from portico.cli import documents
from portico.cli.arguments import Parser, file_arguments
from portico.cli.session import Session
from portico.core.model import verbs


def options(parser: Parser) -> None:
    file_arguments(parser)


def run(session: Session, args: Namespace) -> None:
    found = documents.read(session, args)
    view = session.client(start=True).ask(verbs.PLAN, **documents.request(found))
    if session.json:
        session.show_json({**dict(view), "notes": [*found.notes, *view.notes]})
        return
    documents.write_notes(session, view.notes)
    for number, step in enumerate(view.steps, 1):
        why = session.terminal.out.paint(f"({step.why})", "dim")
        session.terminal.write(f"{number:3}. {step.what}  {why}")
    if not view.steps:
        session.terminal.write("nothing to do; everything matches the file")
