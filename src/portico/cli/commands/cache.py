"""`portico cache purge SITE [PATH]`: remove stored answers, so that clients get new ones."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.core.model import verbs


def options(parser: Parser) -> None:
    parser.add_argument("what", metavar="WHAT", choices=("purge",), help="purge")
    parser.add_argument(
        "site", metavar="SITE", help="name of a site, or of a project for all its sites"
    )
    parser.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        help='a path with or without its query, or "/prefix*"; default: everything',
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    view = session.client().ask(verbs.PURGE, site=args.site, path=args.path)
    if session.json:
        session.show_json({"removed": view.removed})
    else:
        answers = "answer" if view.removed == 1 else "answers"
        session.terminal.write(f"removed {view.removed} stored {answers}")
