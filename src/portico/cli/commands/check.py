"""`portico check`: whether a file could be used."""

from __future__ import annotations

from argparse import Namespace

from portico.cli import documents
from portico.cli.arguments import Parser, file_arguments
from portico.cli.formatting import count_text
from portico.cli.session import Session
from portico.core.model import verbs


def options(parser: Parser) -> None:
    file_arguments(parser)


def run(session: Session, args: Namespace) -> None:
    found = documents.read(session, args)
    view = session.client(start=True).ask(verbs.CHECK, **documents.request(found))
    if session.json:
        session.show_json({**dict(view), "notes": [*found.notes, *view.notes]})
        return
    documents.write_notes(session, view.notes)
    good = session.terminal.out.paint("ok", "green")
    counts = [count_text(view.apps, "app"), count_text(view.sites, "site")]
    counts += [count_text(view.streams, "stream")] if view.streams else []
    what = f"{', '.join(counts)}, nginx {view.nginx}"
    session.terminal.write(f"{good}: {found.source}: {what}")
