"""Acting on one app or on all: start, stop, restart and reload."""

from __future__ import annotations

from portico.cli.session import Session
from portico.cli.watching import watch_to_its_end
from portico.client.client import Action
from portico.errors import Refused

_FILES = (".toml", ".js", ".cjs", ".mjs", ".json", ".yaml", ".yml")


def act(session: Session, action: Action, app: str | None) -> None:
    """`all` and nothing are every app; PM2's users also name a file here."""
    if app and app.endswith(_FILES):
        raise Refused(f"{app} is a file, not an app: `portico up {app}` applies it")
    client = session.client()
    change = client.act(action, None if app == "all" else app)
    watch_to_its_end(session, client, change)
