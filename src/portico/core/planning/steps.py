"""What portico can do to the world. Plain data: saying it does not do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from portico.core.model.names import InstanceId
from portico.core.model.neighbour import NearList
from portico.core.model.world import Endpoint, FarEndpoint

MAX_NAMED_SLOTS: Final = 16
"""More slots than these are counted instead of named."""


@dataclass(frozen=True, slots=True)
class StartInstance:
    """A new instance of the version wanted, in a slot."""

    app: str
    slot: int
    port: int | None
    """Pinned, or None for a free one."""
    why: str

    def __str__(self) -> str:
        where = f"port {self.port}" if self.port else "a free port"
        return f"start {self.app}.{self.slot} on {where}"


@dataclass(frozen=True, slots=True)
class Respawn:
    """The same instance again, after it exited by itself."""

    instance: InstanceId
    why: str

    def __str__(self) -> str:
        return f"start {self.instance} again"


@dataclass(frozen=True, slots=True)
class Restart:
    """Send the stop signal to one that fails its check; it is started again once it has ended."""

    instance: InstanceId
    why: str

    def __str__(self) -> str:
        return f"restart {self.instance}"


@dataclass(frozen=True, slots=True)
class Publish:
    """Hand out exactly these endpoints for an app."""

    app: str
    endpoints: tuple[Endpoint, ...]
    why: str

    def __str__(self) -> str:
        if len(self.endpoints) > MAX_NAMED_SLOTS:
            return f"publish {len(self.endpoints)} slots of {self.app}"
        slots = ", ".join(str(endpoint.slot) for endpoint in self.endpoints) or "none"
        return f"publish slots {slots} of {self.app}"


@dataclass(frozen=True, slots=True)
class PublishFar:
    """Hand out exactly these other machines for an app."""

    app: str
    machines: tuple[FarEndpoint, ...]
    why: str

    def __str__(self) -> str:
        names = ", ".join(each.machine for each in self.machines) or "none"
        return f"publish machines {names} of {self.app}"


@dataclass(frozen=True, slots=True)
class Announce:
    """Let other machines know what is ready here."""

    near: NearList
    why: str

    def __str__(self) -> str:
        return f"announce {', '.join(self.near.apps) or 'no app'} to other machines"


@dataclass(frozen=True, slots=True)
class Drain:
    """From now on no new request; it leaves discovery before anything else happens to it."""

    instance: InstanceId
    why: str

    def __str__(self) -> str:
        return f"drain {self.instance}"


@dataclass(frozen=True, slots=True)
class Recycle:
    """From now on it is to be replaced; it serves until its successor is ready."""

    instance: InstanceId
    why: str

    def __str__(self) -> str:
        return f"replace {self.instance}"


@dataclass(frozen=True, slots=True)
class SkipRun:
    """It is time for a scheduled program, and its last run still goes on."""

    app: str
    why: str

    def __str__(self) -> str:
        return f"skip a run of {self.app}"


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Send the stop signal to a run of a scheduled program that takes too long."""

    instance: InstanceId
    why: str

    def __str__(self) -> str:
        return f"interrupt {self.instance}"


@dataclass(frozen=True, slots=True)
class Stop:
    """Send the stop signal."""

    instance: InstanceId
    why: str

    def __str__(self) -> str:
        return f"stop {self.instance}"


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL, for one that did not stop, or never became ready."""

    instance: InstanceId
    why: str

    def __str__(self) -> str:
        return f"kill {self.instance}"


@dataclass(frozen=True, slots=True)
class Forget:
    """Its process is gone as asked; drop the record."""

    instance: InstanceId
    why: str

    def __str__(self) -> str:
        return f"forget {self.instance}"


@dataclass(frozen=True, slots=True)
class Revert:
    """Give a rollout up: the version before is wanted again."""

    app: str
    why: str

    def __str__(self) -> str:
        return f"roll back {self.app} to the previous version"


@dataclass(frozen=True, slots=True)
class Complete:
    """Every instance runs the version wanted: from now on it is the one to revert to."""

    app: str
    why: str

    def __str__(self) -> str:
        return f"mark this version of {self.app} as good"


@dataclass(frozen=True, slots=True)
class DropApp:
    """Nothing of an app that is not wanted is left."""

    app: str
    why: str

    def __str__(self) -> str:
        return f"forget {self.app}"


@dataclass(frozen=True, slots=True)
class SwitchGeneration:
    """Make nginx serve the generation that was rendered and tested."""

    fingerprint: str
    why: str

    def __str__(self) -> str:
        return "switch nginx to the new configuration"


@dataclass(frozen=True, slots=True)
class StartNginx:
    why: str

    def __str__(self) -> str:
        return "start nginx"


@dataclass(frozen=True, slots=True)
class UpgradeNginx:
    """Have another program take over from the one that runs, on the same files."""

    why: str

    def __str__(self) -> str:
        return "replace the running nginx"


@dataclass(frozen=True, slots=True)
class StopNginx:
    graceful: bool
    """Whether requests under way are finished first."""
    why: str

    def __str__(self) -> str:
        return "stop nginx"


Step = (
    StartInstance
    | Respawn
    | Restart
    | Publish
    | PublishFar
    | Announce
    | Drain
    | Recycle
    | SkipRun
    | Interrupt
    | Stop
    | Kill
    | Forget
    | Revert
    | Complete
    | DropApp
    | SwitchGeneration
    | StartNginx
    | UpgradeNginx
    | StopNginx
)
