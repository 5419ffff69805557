"""What the API shows of the other machines of a cluster, as JSON.

What a machine says of itself is read from the answer of its daemon, which may be of another
version: what is unknown here is ignored, and what is missing there is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from portico.core.model.views import NeighbourView, TrafficView, View


class MachineInstanceView(View):
    """As `InstanceView`, on another machine."""

    id: str
    slot: int | None = None
    pid: int | None = None
    port: int | None = None
    state: str | None = None
    restarts: int | None = None
    uptime_s: float | None = None
    memory_bytes: int | None = None
    cpu_percent: float | None = None
    current: bool | None = None
    connections: int | None = None
    reason: str = ""
    worn: str = ""
    says: str = ""
    traffic: TrafficView | None = None
    machine: str = ""


class MachineAppView(View):
    """As `AppView`, on another machine."""

    name: str
    project: str = ""
    state: str | None = None
    wanted: int | None = None
    instances: tuple[MachineInstanceView, ...] = ()
    waits: str = ""
    next_run: float | None = None
    traffic: TrafficView | None = None


class MachineSiteView(View):
    """The requests of a site that entered at another machine."""

    name: str
    project: str = ""
    traffic: TrafficView | None = None


class MachineNeighbourView(View):
    """What another machine thinks of one of the others."""

    name: str
    reached: bool | None = None
    used: bool | None = None
    reason: str = ""


class MachineNginxView(View):
    pid: int | None = None
    version: str | None = None


class MachineDaemonView(View):
    version: str | None = None
    memory_bytes: int | None = None
    uptime_s: float | None = None


class MachineStatusView(View):
    """What a machine says of itself, as `StatusView`."""

    machine: str
    drained: bool | None = None
    apps: tuple[MachineAppView, ...] = ()
    sites: tuple[MachineSiteView, ...] = ()
    neighbours: tuple[MachineNeighbourView, ...] = ()
    nginx: MachineNginxView = MachineNginxView()
    daemon: MachineDaemonView = MachineDaemonView()
    troubles: tuple[str, ...] = ()


class MachineView(NeighbourView):
    """Another machine: what this one knows of it, and what it says of itself."""

    status: MachineStatusView | None = Field(
        None, description="What it reports; null if it did not answer."
    )
    problem: str = Field("", description="Why it did not answer, or empty.")


class MachineFactsView(View):
    """What the machines of a cluster compare with each other."""

    machine: str = Field(description="Its name.")
    version: str | None = Field(None, description="Of its daemon.")
    time: float | None = Field(None, description="Of its clock. Unix time, seconds.")
    lists: int | None = Field(
        None, description="Version of the lists by which machines say what is ready."
    )
    store_schema: int | None = Field(
        None, description="The newest schema of the cluster's store that it knows."
    )
    files: Mapping[str, str] | None = Field(
        None,
        description="By project, a digest of the file in force without `[edge]`.",
    )
    certificate_until: float | None = Field(
        None, description="End of its certificate. Unix time, seconds."
    )
    unreached: Mapping[str, str] | None = Field(
        None, description="The machines that do not answer it, each with the reason."
    )


class ClusterMachineView(View):
    """A machine in `portico cluster check`."""

    name: str
    answers: bool
    version: str | None = None
    apart_s: float | None = Field(
        None,
        description="How far its clock is ahead of that of this machine, seconds; negative if it "
        "is behind.",
    )
    certificate_until: float | None = None


class StoreMemberView(View):
    """A member of the store, in `portico cluster check`."""

    endpoint: str
    problem: str = Field("", description="Why it is not healthy, or empty.")
    size_bytes: int | None = Field(None, description="Of its database on disk.")
    quota_bytes: int | None = Field(
        None, description="From which on its database takes no changes; null if it does not say."
    )
    leads: bool = Field(False, description="Whether it is the leader of the members.")


class ClusterFindingView(View):
    severity: Literal["error", "warning"]
    machine: str = Field("", description="Name of the machine; empty for the cluster.")
    what: str


class ClusterCheckView(View):
    """What differs between the machines of a cluster, or fails."""

    machine: str = Field(description="Name of this machine.")
    machines: tuple[ClusterMachineView, ...]
    store: tuple[StoreMemberView, ...] = Field(
        (), description="Where the cluster has one, its members."
    )
    findings: tuple[ClusterFindingView, ...]
