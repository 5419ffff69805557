"""`portico cluster token` and `remove`: by a machine of a cluster that has a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portico.core.model.member_verbs import CREATE_TOKEN, REMOVE_MACHINE
from portico.core.model.moments import moment
from portico.errors import Refused
from portico.system.cluster_identity import read_identity
from portico.system.cluster_store import has_store

if TYPE_CHECKING:
    from portico.cli.session import Session
    from portico.client.client import Client


def show_token(session: Session, replaces: str) -> None:
    """Print the command for the machine that is to join."""
    found = client_of_store(session).ask(CREATE_TOKEN, replaces=replaces)
    if session.json:
        session.show_json({"token": found.token, "address": found.address, "until": found.until})
        return
    write, name = session.terminal.write, f" {replaces}" if replaces else ""
    write(f"portico cluster join {found.address} --token {found.token}{name}")
    session.terminal.write_labelled(
        "note", f"valid once, until {moment(found.until)}. Run the command on the new machine"
    )


def remove(session: Session, name: str, *, force: bool) -> None:
    found = client_of_store(session).ask(REMOVE_MACHINE, machine=name, force=force)
    if session.json:
        session.show_json({"cluster": found.cluster, "name": found.name})
        return
    session.terminal.write(f"done: {name} is no longer a machine of cluster {found.cluster}")


def client_of_cluster(session: Session) -> Client:
    """Raises Refused where this machine is alone, whether or not its daemon runs."""
    if read_identity(session.home) is None:
        raise Refused(
            "this machine is in no cluster; nothing was changed. `portico cluster init` creates "
            "one, `portico cluster join` joins one"
        )
    return session.client()


def client_of_store(session: Session) -> Client:
    if not has_store(session.home):
        raise Refused(
            "this machine is in no cluster with a store; nothing was changed. `portico cluster "
            "init NAME --etcd URL` creates one"
        )
    return session.client(start=True)
