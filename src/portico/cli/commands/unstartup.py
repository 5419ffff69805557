"""`portico unstartup`: takes the systemd unit away again; what runs goes on."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser
from portico.cli.session import Session
from portico.client.systemd import former_unit, unit_of


def options(parser: Parser) -> None:
    del parser  # it has none


def run(session: Session, args: Namespace) -> None:
    del args
    home, environ = session.home, session.environ
    unit = former_unit(home, environ) or unit_of(home, environ)
    if not unit.path.exists():
        session.terminal.write(f"{unit.path} does not exist; nothing was changed")
        return
    unit.remove()
    session.terminal.write(
        f"{unit.path} removed; apps keep running, and the next portico command adopts them"
    )
