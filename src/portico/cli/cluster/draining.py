"""`portico cluster drain` and `undrain`: a machine's apps, left to others."""

from __future__ import annotations

from portico.cli.cluster.members import client_of_cluster
from portico.cli.session import Session
from portico.cli.watching import watch_and_report
from portico.core.model import machine_verbs


def drain(session: Session, machine: str | None) -> None:
    client = client_of_cluster(session)
    watch_and_report(session, client, client.ask(machine_verbs.DRAIN, machine=machine))


def undrain(session: Session, machine: str | None) -> None:
    client = client_of_cluster(session)
    watch_and_report(session, client, client.ask(machine_verbs.UNDRAIN, machine=machine))
