"""The end of the other nginx in `portico switch`, and its return."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from portico.cli.session import Session
from portico.cli.watching import watch
from portico.client.client import Client
from portico.core.model import verbs
from portico.errors import Failed, Refused
from portico.stack.switching import pm2, record
from portico.stack.switching.jobs import Job, enable
from portico.stack.switching.other_nginx import OtherNginx
from portico.system.waiting import wait_for

EXIT_TIMEOUT: Final = 90.0
"""Seconds. An nginx that leaves finishes its requests first."""
_MIGRATION: Final = Path("/proc/sys/net/ipv4/tcp_migrate_req")


def give_back(session: Session, kept: record.Record) -> None:
    """Start what served before on our sockets, then leave."""
    client = session.client()
    own = client.ask(verbs.STATUS).nginx.pid
    if own is None:
        raise Refused("nginx of Portico does not run, so it has nothing to give back")
    if kept.nginx.is_running:
        leave(session, kept.nginx)
    if kept.nginx.is_running:
        raise Failed(f"nginx {kept.nginx.pid} still finishes requests; Portico keeps serving")
    pm2.start(kept.pm2, session.environ)
    if not wait_for(lambda: all(map(_is_taken, kept.ports)), EXIT_TIMEOUT):
        raise Failed("the programs of PM2 do not listen again; Portico keeps serving")
    kept.nginx.start_on_sockets_of(own, session.environ)
    with migrated_connections():
        down(session, client, kept.project)
    for job in kept.jobs:
        enable_again(session, job)
    record.remove(session.home.path)
    if not session.json:
        session.terminal.write(f"done: {kept.nginx.program} serves again")


def enable_again(session: Session, job: Job) -> None:
    try:
        enable(job, session.environ)
    except Failed as error:
        session.terminal.write_labelled("note", f"{job} is still disabled: {error}; {job.undo}")


def leave(session: Session, other: OtherNginx) -> None:
    with migrated_connections():
        os.kill(other.pid, signal.SIGQUIT)
        if not wait_for(lambda: not other.is_running, EXIT_TIMEOUT):
            session.terminal.write_labelled(
                "note", f"nginx {other.pid} still finishes requests; it takes no new ones"
            )


def down(session: Session, client: Client, project: str) -> None:
    change = client.ask(verbs.DOWN, project=project, everything=False, now=False, file="")
    watch(session, client, change)


def _is_taken(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextmanager
def migrated_connections() -> Iterator[None]:
    """Connections that wait at a socket which one nginx closes go to that of the other. Linux
    before 5.14 resets them.
    """
    before = ""
    with suppress(OSError):
        before = _MIGRATION.read_text()
        _MIGRATION.write_text("1")
    try:
        yield
    finally:
        with suppress(OSError):
            if before:
                _MIGRATION.write_text(before)
