"""What can be asked of the daemon about the machines of a cluster, as in `verbs.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from portico.core.model.verb import QUICK_TIMEOUT, Verb

if TYPE_CHECKING:
    from portico.core.model.machine_views import ClusterCheckView, MachineFactsView, MachineView
    from portico.core.model.views import ChangeView

MACHINE: Final = "machine"
_MACHINE_QUERY: Final = {MACHINE: "Another machine, in a cluster with a store."}

MACHINES: Final[Verb[Sequence[MachineView]]] = Verb(
    "machines",
    "GET",
    "/v1/machines",
    "Show what the other machines of the cluster report.",
    "MachineView",
    "list",
    query={"machine": "Only this one."},
    seconds=QUICK_TIMEOUT,
)
MEMBER: Final[Verb[MachineFactsView]] = Verb(
    "member",
    "GET",
    "/v1/cluster/member",
    "Show the facts of this machine that the machines of a cluster compare.",
    "MachineFactsView",
    seconds=QUICK_TIMEOUT,
)
CHECK_CLUSTER: Final[Verb[ClusterCheckView]] = Verb(
    "check_cluster",
    "GET",
    "/v1/cluster/check",
    "Compare the machines of the cluster: clocks, versions, files, certificates.",
    "ClusterCheckView",
    seconds=QUICK_TIMEOUT,
)
DRAIN: Final[Verb[ChangeView]] = Verb(
    "drain",
    "POST",
    "/v1/cluster/drain",
    "Stop the apps of this machine that other machines of the cluster serve.",
    query=_MACHINE_QUERY,
)
UNDRAIN: Final[Verb[ChangeView]] = Verb(
    "undrain",
    "POST",
    "/v1/cluster/undrain",
    "Run the apps of a drained machine again.",
    query=_MACHINE_QUERY,
)

MACHINE_VERBS: Final[tuple[Verb[Any], ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Verb)
)

REPORTED_PATHS: Final = ("/v1/status", "/v1/cluster/member", "/v1/events", "/v1/traffic")
"""What other machines may ask a daemon, with GET."""
