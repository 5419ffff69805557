"""The file that a command is about, as the daemon takes it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from portico.cli.session import Session
from portico.importers.read import ImportedFile, read_file


def read(session: Session, args: Namespace) -> ImportedFile:
    """What `arguments.file_arguments` name; what could not be imported is reported at once."""
    found = read_file(
        Path(args.path or "."),
        session.environ,
        site=args.site,
        environment=args.env,
        only=tuple(name.strip() for name in (args.only or "").split(",") if name.strip()),
    )
    write_notes(session, found.notes)
    return found


def request(found: ImportedFile) -> dict[str, object]:
    """The fields of views.DocumentRequest."""
    return {
        "source": found.source,
        "folder": found.folder,
        "table": found.table,
        "environ": found.environ,
    }


def write_notes(session: Session, notes: tuple[str, ...] | list[str]) -> None:
    if not session.json:
        for note in notes:
            session.terminal.write_labelled("note", note)
