"""`portico nginx use`: another nginx in the place of the one that serves."""

from __future__ import annotations

from pathlib import Path

from portico.cli.session import Session
from portico.cli.watching import watch_and_report
from portico.core.model import nginx_verbs
from portico.core.model.place import AUTO, BUNDLED_NGINX


def use(session: Session, name: str) -> None:
    program = name if name in {AUTO, BUNDLED_NGINX} else str(Path(name).absolute())
    client = session.client(start=True)
    watch_and_report(session, client, client.ask(nginx_verbs.USE_NGINX, program=program))
