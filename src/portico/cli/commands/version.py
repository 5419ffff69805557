"""`portico version`: of this program and of the daemon that answers."""

from __future__ import annotations

from argparse import Namespace

from portico import __version__
from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.client.client import Client
from portico.core.model import verbs


def options(parser: Parser) -> None:
    json_option(parser)


def run(session: Session, _: Namespace) -> None:
    client = Client(session.home.socket)
    daemon = client.ask(verbs.VERSION) if client.answers() else None
    if session.json:
        session.show_json({"portico": __version__, "porticod": daemon})
        return
    session.terminal.write(f"portico  {__version__}")
    if daemon is None:
        session.terminal.write(f"porticod is not running in {session.home.path}")
        return
    session.terminal.write(f"porticod {daemon.version} (pid {daemon.pid})")
    if daemon.version != __version__:
        session.terminal.write_stderr(
            "the daemon has another version; `portico upgrade` replaces it while apps keep running"
        )
