"""`portico open`: a link that signs a browser in to the dashboard."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.core.model import verbs


def options(parser: Parser) -> None:
    parser.add_argument(
        "--off", action="store_true", help="sign all browsers out and stop serving the dashboard"
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    client = session.client()
    if args.off:
        closed = client.ask(verbs.CLOSE)
        if session.json:
            session.show_json(closed)
        else:
            session.terminal.write("the dashboard is closed; `portico open` opens it again")
        return
    opened = client.ask(verbs.OPEN)
    if session.json:
        session.show_json(opened)
        return
    session.terminal.write(opened.url)
    session.terminal.write_stderr("it signs one browser in, once and within a minute")
    if session.environ.get("SSH_CONNECTION"):
        port = opened.url.split(":")[2].split("/")[0]
        session.terminal.write_stderr(
            f"from your own machine: `ssh -L {port}:127.0.0.1:{port} HOST`, then open the link"
        )
