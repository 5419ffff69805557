"""The file that a command is about, as the daemon takes it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from portico.cli.session import Session
from portico.client.client import Document
from portico.importers.read import Imported, read_file


def read(session: Session, args: Namespace) -> Imported:
    """What `arguments.file_arguments` name; what could not be taken over is told at once."""
    found = read_file(
        Path(args.path or "."), session.environ, site=args.site, environment=args.env
    )
    tell_notes(session, found.notes)
    return found


def document(found: Imported) -> Document:
    return Document(found.source, found.folder, found.table, found.environ)


def tell_notes(session: Session, notes: tuple[str, ...] | list[str]) -> None:
    if not session.json:
        for note in notes:
            session.terminal.tell(f"{session.terminal.err.paint('note', 'yellow')}: {note}")
