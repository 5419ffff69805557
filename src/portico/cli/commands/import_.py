"""`portico import`: the files of a stack that Portico does not run yet, as a portico.toml."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.core.config.document import read_document
from portico.errors import ConfigError, Failed, Refused
from portico.importers.read import current_folder
from portico.stack.importing.include_file import FOLDER
from portico.stack.importing.stack_import import ImportedStack, import_stack
from portico.stack.importing.writing import text_of
from portico.stack.reading.live import read_live
from portico.stack.reading.read import read_stack
from portico.system import files


def options(parser: Parser) -> None:
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="files of nginx, PM2, certbot, cron, systemd and others, in any mix",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="also read what runs on this machine: the nginx on ports 80 and 443, PM2, "
        "systemd, certbot, crontabs",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write this file, and portico.d next to it; default: print it",
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    if not args.files and not args.live:
        raise Refused("name the files to import, or use --live for those of this machine")
    here = current_folder(session.environ)
    output = here / args.output if args.output else None
    if output:
        _refuse_to_write(output, force=args.force)
    stack = read_stack([here / name for name in args.files], session.environ)
    if args.live:
        stack += read_live(session.environ)
    found = import_stack(stack, output.parent if output else here)
    text = text_of(found.table, found.sources, stack.files)
    refused = _refusals(found, str(output or "portico.toml"))
    if output:
        _write(output, text, found, force=args.force)
    if session.json:
        session.show_json({**_as_json(text, found), "refused": refused})
        return
    if output:
        written = ", ".join([str(output), *(str(output.parent / name) for name in found.files)])
        session.terminal.write(f"written: {written}")
    else:
        session.terminal.write_raw(text.rstrip())
    _list(session, found, printed=output is None)
    for problem in refused:
        session.terminal.write_labelled("problem", f"check refuses {problem}")


def _refuse_to_write(output: Path, *, force: bool) -> None:
    if not output.parent.is_dir():
        raise Refused(f"{output.parent} is not a folder; nothing was changed")
    if not force:
        _refuse_to_replace(output)


def _refuse_to_replace(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise Refused(f"{path} exists; nothing was changed; --force replaces it")


def _refusals(found: ImportedStack, source: str) -> list[str]:
    """What of the file is to be mended by hand before it can be used."""
    try:
        read_document(found.table, source=source)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def _write(output: Path, text: str, found: ImportedStack, *, force: bool) -> None:
    """The file itself last: it is complete where it is there."""
    contents = {output.parent / name: lines for name, lines in found.files.items()}
    contents[output] = text
    if not force:
        for path in contents:
            _refuse_to_replace(path)
    try:
        if found.files:
            (output.parent / FOLDER).mkdir(exist_ok=True)
        for path, content in contents.items():
            files.write(path, content, 0o644)
    except OSError as error:
        raise Failed(f"cannot write {error.filename or output}: {error.strerror}") from error


def _list(session: Session, found: ImportedStack, *, printed: bool) -> None:
    if printed and found.files:
        names = ", ".join(found.files)
        session.terminal.write_labelled("note", f"-o FILE also writes {names}, which it includes")
    if found.gaps:
        session.terminal.write_stderr("carried over differently, or left out:")
    for gap in found.gaps:
        what = f"{gap.what}: " if gap.what else ""
        session.terminal.write_stderr(f"{gap.place}: {what}{gap.why}")


def _as_json(text: str, found: ImportedStack) -> dict[str, object]:
    return {
        "text": text,
        "table": found.table,
        "files": dict(found.files),
        "gaps": [
            {
                "file": gap.place.file,
                "line": gap.place.line,
                "what": gap.what,
                "why": gap.why,
            }
            for gap in found.gaps
        ],
    }
