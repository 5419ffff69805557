"""`portico cluster check`: what differs between the machines, or fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from portico.cli.cluster.members import client_of_cluster
from portico.cli.formatting import count_text, size
from portico.cli.terminal import Style
from portico.core.model import machine_verbs
from portico.core.model.moments import moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portico.cli.session import Session
    from portico.core.model.machine_views import (
        ClusterFindingView,
        ClusterMachineView,
        StoreMemberView,
    )

_STYLES: Final[dict[str, Style]] = {"error": "red", "warning": "yellow"}
_EXIT_CODES: Final = {"error": 2, "warning": 1}


def check(session: Session) -> int:
    """The exit code is as that of `portico doctor`: 2 with an error, 1 with a warning."""
    view = client_of_cluster(session).ask(machine_verbs.CHECK_CLUSTER)
    if session.json:
        session.show_json(view)
    else:
        session.terminal.table(
            ("machine", "version", "clock", "certificate until"),
            [_row(each) for each in view.machines],
        )
        session.terminal.write()
        if view.store:
            rows = [_store_row(each) for each in view.store]
            session.terminal.table(("etcd", "database", "state"), rows)
            session.terminal.write()
        _show(session, view.findings)
    return max((_EXIT_CODES[each.severity] for each in view.findings), default=0)


def _row(machine: ClusterMachineView) -> tuple[str, ...]:
    apart, until = machine.apart_s, machine.certificate_until
    return (
        machine.name,
        machine.version or ("-" if machine.answers else "no answer"),
        "-" if apart is None else f"{apart:+.2f} s",
        "-" if until is None else moment(until),
    )


def _store_row(member: StoreMemberView) -> tuple[str, ...]:
    sizes = (member.size_bytes, member.quota_bytes)
    return (
        member.endpoint,
        " of ".join(size(each) for each in sizes if each is not None) or "-",
        "not healthy" if member.problem else "leader" if member.leads else "healthy",
    )


def _show(session: Session, findings: Sequence[ClusterFindingView]) -> None:
    out = session.terminal.out
    for each in findings:
        label = out.paint(each.severity, _STYLES[each.severity])
        place = f"{each.machine} " if each.machine else ""
        session.terminal.write(f"{label}: {place}{each.what}")
    errors = sum(each.severity == "error" for each in findings)
    warnings = len(findings) - errors
    summary = f"{count_text(errors, 'error')}, {count_text(warnings, 'warning')}"
    session.terminal.write(summary if findings else "nothing found")
