"""What starting an instance takes, and what a program says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from portico.core.model.desired import Spec
from portico.core.model.names import InstanceId


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that starting one instance takes."""

    instance: InstanceId
    spec: Spec
    slot: int
    port: int


@dataclass(frozen=True, slots=True)
class Notice:
    """What a process has said of itself."""

    sessions: frozenset[int]
    """Its own and those of the processes that it descends from, as the kernel knows it: the pids
    of their leaders."""
    ready: bool = False
    status: str | None = None
    """One line in its own words; None if it said nothing of the kind."""
