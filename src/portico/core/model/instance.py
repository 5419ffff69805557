"""One supervised process of an app, and every state it can be in.

`TRANSITIONS` is the whole truth: a pair that is not listed cannot happen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from portico.core.model.names import InstanceId

if TYPE_CHECKING:
    from portico.core.model.desired import Spec  # a command knows the states, and no file


class InstanceState(StrEnum):
    STARTING = "starting"  # spawned; has not passed its check yet
    READY = "ready"  # may receive requests
    UNREADY = "unready"  # was ready, fails its check: out of discovery
    RESTARTING = "restarting"  # went on failing, or lost its port: told to stop, to start again
    DRAINING = "draining"  # out of discovery; finishing what it has
    STOPPING = "stopping"  # told to stop
    BACKOFF = "backoff"  # exited by itself; waiting to be started again
    STOPPED = "stopped"  # exited by itself and is not wanted back
    FAILED = "failed"  # a crash loop; an operator has to look
    GONE = "gone"  # exited as asked; its record may go


class InstanceEvent(StrEnum):
    SPAWNED = "spawned"
    CHECK_PASSED = "check passed"
    CHECK_FAILED = "check failed"
    RESTART_ASKED = "restart requested"
    DRAIN_ASKED = "drain requested"
    STOP_ASKED = "stop requested"
    CRASHED = "crashed"
    FINISHED = "finished"
    GAVE_UP = "gave up"


S, E = InstanceState, InstanceEvent

TRANSITIONS: Final[dict[tuple[InstanceState, InstanceEvent], InstanceState]] = {
    (S.STARTING, E.CHECK_PASSED): S.READY,
    (S.STARTING, E.RESTART_ASKED): S.RESTARTING,
    (S.STARTING, E.DRAIN_ASKED): S.DRAINING,
    (S.STARTING, E.CRASHED): S.BACKOFF,
    (S.STARTING, E.FINISHED): S.STOPPED,
    (S.STARTING, E.GAVE_UP): S.FAILED,
    (S.READY, E.CHECK_FAILED): S.UNREADY,
    (S.READY, E.DRAIN_ASKED): S.DRAINING,
    (S.READY, E.CRASHED): S.BACKOFF,
    (S.READY, E.FINISHED): S.STOPPED,
    (S.READY, E.GAVE_UP): S.FAILED,
    (S.UNREADY, E.CHECK_PASSED): S.READY,
    (S.UNREADY, E.RESTART_ASKED): S.RESTARTING,
    (S.UNREADY, E.DRAIN_ASKED): S.DRAINING,
    (S.UNREADY, E.CRASHED): S.BACKOFF,
    (S.UNREADY, E.FINISHED): S.STOPPED,
    (S.UNREADY, E.GAVE_UP): S.FAILED,
    (S.RESTARTING, E.DRAIN_ASKED): S.STOPPING,
    (S.RESTARTING, E.CRASHED): S.BACKOFF,
    (S.RESTARTING, E.FINISHED): S.STOPPED,
    (S.RESTARTING, E.GAVE_UP): S.FAILED,
    (S.DRAINING, E.STOP_ASKED): S.STOPPING,
    (S.DRAINING, E.CRASHED): S.GONE,
    (S.DRAINING, E.FINISHED): S.GONE,
    (S.DRAINING, E.GAVE_UP): S.GONE,
    (S.STOPPING, E.CRASHED): S.GONE,
    (S.STOPPING, E.FINISHED): S.GONE,
    (S.STOPPING, E.GAVE_UP): S.GONE,
    (S.BACKOFF, E.SPAWNED): S.STARTING,
    (S.BACKOFF, E.DRAIN_ASKED): S.GONE,
    (S.BACKOFF, E.CRASHED): S.BACKOFF,
    (S.BACKOFF, E.FINISHED): S.STOPPED,
    (S.BACKOFF, E.GAVE_UP): S.FAILED,
    (S.STOPPED, E.SPAWNED): S.STARTING,
    (S.STOPPED, E.FINISHED): S.STOPPED,
    (S.STOPPED, E.DRAIN_ASKED): S.GONE,
    (S.FAILED, E.SPAWNED): S.STARTING,
    (S.FAILED, E.CRASHED): S.BACKOFF,
    (S.FAILED, E.FINISHED): S.STOPPED,
    (S.FAILED, E.GAVE_UP): S.FAILED,
    (S.FAILED, E.DRAIN_ASKED): S.GONE,
}

LIVE_STATES: Final = frozenset(
    {S.STARTING, S.READY, S.UNREADY, S.RESTARTING, S.DRAINING, S.STOPPING}
)
"""States in which there is a process."""
STARTABLE_STATES: Final = frozenset(s for s, event in TRANSITIONS if event is E.SPAWNED)
"""States in which there is no process, and one may be started."""
PROVEN_STATES: Final = frozenset({S.READY, S.UNREADY})
"""States in which the process was ready at least once, and is probed."""
LEAVING_STATES: Final = frozenset({S.DRAINING, S.STOPPING, S.GONE})


class IllegalTransition(Exception):
    """A bug in portico, never something an operator did."""


def next_state(state: InstanceState, event: InstanceEvent) -> InstanceState:
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"{event} while {state}") from None


@dataclass(frozen=True, slots=True)
class Process:
    """A process that can be found again: a pid alone is used anew by the system."""

    pid: int
    started: float
    """Its start time in clock ticks since boot, field 22 of /proc/PID/stat."""

    def __hash__(self) -> int:
        return self.pid


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended; both are None when nobody could see it (an adopted process)."""

    code: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        if self.signal is not None:
            return f"was killed by signal {self.signal}"
        return "exited" if self.code is None else f"exited with code {self.code}"


@dataclass(frozen=True, slots=True)
class LastExit:
    """How the last process of an instance ended, and how long it had lived."""

    exit: Exit
    seconds: float


@dataclass(frozen=True, slots=True)
class ListeningPort:
    """A TCP port that an instance's processes listen on."""

    port: int
    address: str
    """`127.0.0.1`, `[::1]`, or `*` for every address."""


@dataclass(frozen=True, slots=True)
class LogFiles:
    """Absolute paths of the files an instance writes to; both may be the same."""

    stdout: str
    stderr: str

    @classmethod
    def of(cls, spec: Spec, slot: int, folder: str) -> LogFiles:
        """The app's own files, as its folder sees them, else some in Portico's log folder: of most
        projects in a folder of their own there.
        """
        own, start = spec.app.logs, f"{folder}/apps/{spec.app_name}.{slot}"
        return cls(
            spec.path(own.stdout or f"{start}.out.log"),
            spec.path(own.stderr or f"{start}.err.log"),
        )


@dataclass(frozen=True, slots=True)
class Instance:
    """One copy of an app in one of its slots. It keeps its id and port over restarts."""

    id: InstanceId
    app: str
    slot: int
    spec: str
    """Which version of the app it runs: the id of a `Spec`."""
    port: int
    state: InstanceState
    since: float
    """When it entered its state, or was sent SIGKILL in it, on the clock that goes on over
    daemons (`Clock.monotonic`)."""
    process: Process | None = None
    spawned: float = 0.0
    """When its process was last spawned, on the same clock."""
    restarts: int = 0
    crashes: int = 0
    """Exits in a row, each too soon after the start, or asked for because its check failed."""
    retry_at: float = 0.0
    reason: str = ""
    """Why it is in this state, in words for the operator."""
    worn: str = ""
    """Why it is to be replaced by a new one of the same version; empty if it is not. It serves
    until that one is ready."""
    is_run: bool = False
    """One that has a schedule: it ends by itself, and is started again when it is time."""
    ended: LastExit | None = None
    said_ready: bool = False
    """Its process said that it is ready; asked of those with `wait_ready` only."""
    against: int = 0
    """Probes in a row that spoke against its state, ready or unready."""
    taken: bool = False
    """Something that it did not start listens on its port, as its reason says: it gets no
    request, even if nobody else is ready."""
    own_port: bool = False
    """Its port is one that its program chose, and no second one can listen on it."""
    last_failure: str = ""
    """Why the process before this one failed; empty if it did not."""

    @property
    def trouble(self) -> str:
        """Why it is not ready: its reason, or while it is started again why it failed before."""
        return self.reason or (self.last_failure if self.state is S.STARTING else "")
