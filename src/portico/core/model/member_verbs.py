"""What can be asked of the daemon about the store of a cluster and its members, as in verbs.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from portico.core.model.verb import QUICK_TIMEOUT, Verb

if TYPE_CHECKING:
    from portico.core.model.cluster_views import ClusterView, SchemaView, StoreChangeView
    from portico.core.model.member_views import EtcdMemberView, MembershipView, TokenView
    from portico.core.model.views import ChangeView

CLUSTER: Final[Verb[ClusterView]] = Verb(
    "cluster",
    "GET",
    "/v1/cluster",
    "Show the machines of the cluster, and whether its store is followed.",
    "ClusterView",
    seconds=QUICK_TIMEOUT,
)
ACCEPT_STORE: Final[Verb[StoreChangeView]] = Verb(
    "accept_store",
    "POST",
    "/v1/cluster/accept",
    "Follow the store of the cluster as it is, although it differs from the copy on this machine.",
    "StoreChangeView",
    request="StoreRequest",
    seconds=QUICK_TIMEOUT,
)
RESTORE_STORE: Final[Verb[StoreChangeView]] = Verb(
    "restore_store",
    "POST",
    "/v1/cluster/restore",
    "Fill the store of the cluster from the copy on this machine.",
    "StoreChangeView",
    request="StoreRequest",
)
UPGRADE_CLUSTER: Final[Verb[SchemaView]] = Verb(
    "upgrade_cluster",
    "POST",
    "/v1/cluster/upgrade",
    "Use the newest schema of the store that Portico on all machines of the cluster knows.",
    "SchemaView",
    seconds=QUICK_TIMEOUT,
)
TAKE_SHARED: Final[Verb[ChangeView]] = Verb(
    "take_shared",
    "POST",
    "/v1/cluster/up",
    "Apply on this machine what is in force in the cluster's store.",
)
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

SET_ETCD_MEMBER: Final[Verb[EtcdMemberView]] = Verb(
    "set_etcd_member",
    "POST",
    "/v1/cluster/etcd",
    "Add a member to the etcd of the cluster, or have it take part once it has started.",
    "EtcdMemberView",
    request="EtcdMemberRequest",
    seconds=QUICK_TIMEOUT,
)
REMOVE_ETCD_MEMBER: Final[Verb[EtcdMemberView]] = Verb(
    "remove_etcd_member",
    "DELETE",
    "/v1/cluster/etcd/{member}",
    "Remove a member from the etcd of the cluster.",
    "EtcdMemberView",
    request="EtcdMemberRemoval",
    seconds=QUICK_TIMEOUT,
)

MEMBER_VERBS: Final[tuple[Verb[Any], ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Verb)
)
