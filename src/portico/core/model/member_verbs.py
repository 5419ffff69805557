"""Verbs about the members of a cluster that has a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from portico.core.model.verb import QUICK_TIMEOUT, Verb

if TYPE_CHECKING:
    from portico.core.model.member_views import MembershipView, TokenView

CREATE_CLUSTER: Final[Verb[MembershipView]] = Verb(
    "create_cluster",
    "POST",
    "/v1/cluster",
    "Record a new cluster in its store, with this machine as the first one.",
    "MembershipView",
    request="ClusterRequest",
    seconds=QUICK_TIMEOUT,
)
LEAVE_CLUSTER: Final[Verb[MembershipView]] = Verb(
    "leave_cluster",
    "DELETE",
    "/v1/cluster",
    "Remove this machine from the store of its cluster.",
    "MembershipView",
    seconds=QUICK_TIMEOUT,
)
CREATE_TOKEN: Final[Verb[TokenView]] = Verb(
    "create_token",
    "POST",
    "/v1/cluster/tokens",
    "Create a token, with which a machine joins.",
    "TokenView",
    request="TokenRequest",
    seconds=QUICK_TIMEOUT,
)
REMOVE_MACHINE: Final[Verb[MembershipView]] = Verb(
    "remove_machine",
    "DELETE",
    "/v1/cluster/machines/{machine}",
    "Remove another machine from the cluster: its certificate is refused from then on.",
    "MembershipView",
    request="RemovalRequest",
    seconds=QUICK_TIMEOUT,
)

MEMBER_VERBS: Final = (CREATE_CLUSTER, LEAVE_CLUSTER, CREATE_TOKEN, REMOVE_MACHINE)
