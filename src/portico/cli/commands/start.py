"""`portico start`: apps that were stopped; or, as under PM2, a program (`start app.js -i 4`)."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Final

from portico.cli import documents
from portico.cli.arguments import Parser, here_option, json_option, without_absent_option
from portico.cli.commands import up
from portico.cli.session import Session
from portico.cli.verb_command import VerbCommand
from portico.core.model import verbs
from portico.core.model.labels import project_name
from portico.errors import Refused

_OPTIONS: Final = ("name", "instances", "interpreter", "node_args", "max_memory_restart")
_PROGRAMS: Final = (".js", ".cjs", ".mjs", ".ts", ".tsx", ".py", ".sh", ".rb", ".php", ".pl")


def options(parser: Parser) -> None:
    parser.takes_words = True
    parser.add_argument(
        "app",
        metavar="APP",
        nargs="?",
        help='name of the app; default: "all"; or a program, whose arguments follow --',
    )
    program = "for a program: "
    parser.add_argument("-n", "--name", metavar="APP", help=f"{program}the name of its app")
    parser.add_argument(
        "-i", "--instances", metavar="N", help=f"{program}number of instances, or max"
    )
    parser.add_argument("--watch", action="store_true", help=f"{program}replace it on changes")
    parser.add_argument(
        "--interpreter", metavar="PROGRAM", help=f"{program}the program that runs it"
    )
    parser.add_argument(
        "--node-args", metavar="ARGUMENTS", help=f"{program}arguments of the interpreter"
    )
    parser.add_argument(
        "--max-memory-restart", metavar="SIZE", help=f"{program}replace it when it uses more"
    )
    parser.add_argument(
        "--site", metavar="NAME", help=f"{program}add a site with this domain name"
    )
    without_absent_option(parser)
    here_option(parser)
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    given = {key: value for key in _OPTIONS if (value := getattr(args, key)) is not None}
    given |= {"watch": True} if args.watch else {}
    given |= {"args": args.words} if args.words else {}
    if args.app is None or not (given or args.site or _is_program(args.app)):
        VerbCommand(verbs.START).run(session, args)
        return
    if args.here:
        raise Refused("--here is for an app in force, not for a program; nothing was changed")
    from portico.importers.read import read_program  # noqa: PLC0415 - starting an app reads no file

    found = read_program({"script": args.app, **given}, session.environ, site=args.site)
    name = project_name(found.table, found.folder)
    for project in session.client(start=True).ask(verbs.STATUS).projects:
        if project.name == name and project.source != found.source:
            raise Refused(
                f"{project.source} is in force as project {name}, and `start` would replace it; "
                "choose another --name"
            )
    documents.write_notes(session, found.notes)
    up.apply(session, args, found)


def _is_program(word: str) -> bool:
    is_settings = word.endswith(tuple(f".config{ending}" for ending in _PROGRAMS))
    return not is_settings and (word.endswith(_PROGRAMS) or ("/" in word and Path(word).is_file()))
