"""`portico init`: writes the first portico.toml of a folder."""

from __future__ import annotations

import shlex
from argparse import Namespace

from portico.cli.arguments import Parser
from portico.cli.session import Session
from portico.core.model.names import is_local_name, parse_domain
from portico.errors import Refused
from portico.importers.read import current_folder
from portico.stack.starting.detection import starts
from portico.stack.starting.first_file import first_file, sites, write_first_file


def options(parser: Parser) -> None:
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        default=".",
        help="folder of the program; default: the current folder",
    )
    parser.add_argument(
        "--domain",
        metavar="NAME",
        default="",
        help="domain name of the site; default: the folder's name below localhost",
    )


def run(session: Session, args: Namespace) -> None:
    here = current_folder(session.environ)
    folder = here / args.folder
    if not folder.is_dir():
        raise Refused(f"{folder} is not a folder; nothing was changed")
    domain = _domain(args.domain)
    found = starts(folder)
    path = write_first_file(first_file(found, folder, domain), folder)
    shown = {start.name: name for name, start in sites(found, folder, domain).items()}
    session.terminal.write(f"wrote {path}")
    for start in found:
        files = f"files of {start.folder}"
        what = files if start.table is None else _line(start.table["command"])
        site = f", for {shown[start.name]}" if start.name in shown else ""
        session.terminal.write(f"  {start.name}: {what} (from {start.source}){site}")
    for note in dict.fromkeys(note for start in found for note in start.notes):
        session.terminal.write_labelled("note", note)
    if domain and not is_local_name(domain):
        note = "for notices of the certificate authority, add [tls] with your email"
        session.terminal.write_labelled("note", note)
    before = dict.fromkeys(command for start in found for command in start.first)
    where = "" if folder.samefile(here) else f" {shlex.quote(args.folder)}"
    into = f"cd {shlex.quote(args.folder)}" if where and before else ""
    steps = [into, *before, "portico up" if into else f"portico up{where}"]
    session.terminal.write("next: " + " && ".join(step for step in steps if step))


def _domain(text: str) -> str:
    try:
        return parse_domain(text) if text else ""
    except ValueError as error:
        raise Refused(f"--domain {error}; nothing was changed") from None


def _line(command: object) -> str:
    return shlex.join(map(str, command)) if isinstance(command, list) else str(command)
