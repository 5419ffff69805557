"""A daemon reads at its start who this machine is in its cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portico.client.upgrading import replace_daemon
from portico.client.wire import is_reachable
from portico.errors import PorticoError

if TYPE_CHECKING:
    from portico.cli.session import Session


def restart_daemon(session: Session, *, start: bool = False) -> None:
    """If one runs, or `start` it. Apps and nginx keep running."""
    try:
        if is_reachable(session.home.socket):
            replace_daemon(session.home, session.environ, session.client())
        elif start:
            session.client(start=True)
    except PorticoError as error:
        session.terminal.write_labelled(
            "warning",
            f"cannot restart the daemon: {error}. It takes part in the cluster after `portico "
            "upgrade --daemon`",
        )
