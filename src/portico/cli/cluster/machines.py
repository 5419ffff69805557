"""What `portico status` shows of the other machines of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from portico.core.model import machine_verbs
from portico.core.model.moments import moment
from portico.errors import Refused

if TYPE_CHECKING:
    from portico.client.client import Client
    from portico.core.model.machine_views import MachineAppView, MachineView
    from portico.core.model.views import AppView, StatusView

HEADS: Final = (
    "other machine",
    "address",
    "state",
    "version",
    "ready there",
    "sends here",
    "last problem",
)
_AWAY_STATE: Final = "elsewhere"


def ask_machines(
    client: Client, status: StatusView, machine: str | None, *, here: bool
) -> Sequence[MachineView]:
    """The others that are to be shown. Raises Refused, or NotFound, for a name that none has."""
    if machine and not status.machine:
        raise Refused("this machine is in no cluster; --machine names one of a cluster")
    if here or not status.neighbours or machine == status.machine:
        return ()
    return client.ask(machine_verbs.MACHINES, machine=machine)


def apps_of(machine: MachineView, status: StatusView) -> Iterator[MachineAppView]:
    """Those of its apps that this machine shows of itself, too."""
    shown = {(each.project, each.name) for each in status.apps}
    for each in machine.status.apps if machine.status else ():
        if (each.project, each.name) in shown:
            yield each


def is_shown(app: AppView | MachineAppView) -> bool:
    """Where all machines are shown, an app that does not run on one has no row of it."""
    return bool(app.instances) or app.state != _AWAY_STATE


def machine_row(machine: MachineView, own: str) -> tuple[str, ...]:
    status = machine.status
    said = {each.name: each for each in status.neighbours} if status else {}
    back = said[own].used if own in said else None
    return (
        machine.name,
        machine.address,
        _state(machine),
        (status.daemon.version if status else None) or "-",
        ", ".join(f"{app} ({count})" for app, count in machine.apps.items()) or "-",
        "-" if back is None else "yes" if back else "no",
        _problem(machine) or "-",
    )


def _state(machine: MachineView) -> str:
    if machine.down:  # its nginx has ended, so that it is not reached
        return "down"
    if not machine.reached:
        return "not reached"
    return "drained" if machine.drained else "reached"


def _problem(machine: MachineView) -> str:
    """Why it has no rows; empty where it has."""
    if machine.since is not None:
        return f"no answer since {moment(machine.since)}: {machine.reason}"
    return machine.problem
