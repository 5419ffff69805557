"""The other machines of a cluster as this one sees them, and what it lets them know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NearList:
    """What a machine lets others know: `near.json`."""

    machine: str
    apps: Mapping[str, int] = field(default_factory=dict)
    """How many instances of each app are ready there; those with none are not in it."""
    leaving: bool = False
    """Whether the machine is drained or down: what it has left is for those that no other has."""
    down: bool = False
    """Whether no file is in force there (`portico down --all`); an older Portico does not say."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another machine, with its newest list."""

    name: str
    address: str
    port: int
    apps: Mapping[str, int] = field(default_factory=dict)
    leaving: bool = False
    down: bool = False
    is_out: bool = False
    """Nothing is sent to it: it did not answer, where another one did."""
    failures: int = 0
    """How often in a row it did not answer, counted until it is out."""
    reason: str = ""
    """Why it did not answer the last time; empty if it did."""
    has_answered: bool = False
    """Whether it ever did, to this daemon."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What this machine knows of the others, and they of it."""

    machine: str = ""
    """The own name, also where no file has it."""
    neighbours: Mapping[str, Neighbour] = field(default_factory=dict)
    announced: NearList | None = None
    """What they may read; None if this daemon has written nothing yet, and an earlier one has."""
    withdrawn: Mapping[str, float] = field(default_factory=dict)
    """Since when an app is not in it any more, by `Clock.monotonic`."""
    first: float = 0.0
    """Since when what was in no list of this daemon is not in it."""
    wait: float = 0.0
    """Seconds after which no other machine sends requests for an app that has left the list."""
    may_replace: bool = True
    """Whether instances of one version may be replaced by those of another. They may not where
    the change of all machines that asks for it is not in this machine's turn any more.
    """


def near_list_path(home: str) -> str:
    """Where nginx's workers, another user, can read it."""
    return f"{home}/nginx/near.json"


def neighbours_socket(home: str) -> str:
    """Where nginx passes `/NAME/near.json` and `/NAME/v1/…` on to other machines:
    for this user alone.
    """
    return f"{home}/cluster/neighbours.sock"


def reports_socket(home: str) -> str:
    """Where the daemon answers other machines; nginx's workers, another user, connect to it."""
    return f"{home}/nginx/reports.sock"


def join_socket(home: str) -> str:
    """Where nginx's workers, another user, pass what a machine asks that is to join."""
    return f"{home}/nginx/join.sock"


def drained_mark_path(home: str) -> str:
    """There while the machine is drained, for what nginx answers to a load balancer."""
    return f"{home}/nginx/drained"
