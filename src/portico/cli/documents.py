"""The file that a command is about, as the daemon takes it."""

from __future__ import annotations

from argparse import Namespace
from contextlib import suppress
from pathlib import Path

from portico.cli.session import Session
from portico.core.model import verbs
from portico.errors import Unreachable
from portico.importers.read import NAMES, ImportedFile, current_folder, read_file


def read(session: Session, args: Namespace) -> ImportedFile:
    """What `arguments.file_arguments` name; what could not be imported is reported at once."""
    found = read_file(
        _path(session, args.path or "."),
        session.environ,
        site=args.site,
        environment=args.env,
        only=tuple(name.strip() for name in (args.only or "").split(",") if name.strip()),
    )
    write_notes(session, found.notes)
    return found


def _path(session: Session, given: str) -> Path:
    """A file or folder; or the file of the project in force that has this name, if there is none
    of the name here. A project of `portico start` has a program in the place of its file.
    """
    if "/" in given or (current_folder(session.environ) / given).exists():
        return Path(given)
    with suppress(Unreachable):
        for project in session.client().ask(verbs.STATUS).projects:
            file = Path(project.source)
            if project.name == given and (file.suffix == ".toml" or file.name in NAMES):
                return file
    return Path(given)


def request(found: ImportedFile) -> dict[str, object]:
    """The fields of requests.DocumentRequest."""
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
