"""`portico metrics`: what Prometheus reads, for a file that node_exporter takes up."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser
from portico.cli.session import Session
from portico.core.model import verbs


def options(_: Parser) -> None:
    pass


def run(session: Session, _: Namespace) -> None:
    session.terminal.write_raw(session.client().ask(verbs.METRICS).rstrip("\n"))
