"""What an operator can ask about a cluster, its store and its members: a part of `Operations`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from portico.core.model.cluster_views import ClusterView, SchemaView, StoreChangeView
from portico.core.model.event import Requester
from portico.core.model.member_views import (
    ClusterRequest,
    EtcdMemberRequest,
    EtcdMemberView,
    MembershipView,
    TokenView,
)
from portico.core.model.views import ChangeView
from portico.engine.changes import Change
from portico.errors import Refused

BeforeEnd = Callable[[Change], Awaitable[None]]
_NO_STORE: Final = "this machine is in no cluster with a store; nothing was changed"


class DrainOperations(Protocol):
    @property
    def machine(self) -> str:
        """The own name."""

    def drain(self, who: Requester) -> ChangeView: ...

    def undrain(self, who: Requester) -> ChangeView: ...

    def before_end(self, *, everything: bool) -> BeforeEnd | None:
        """What the end of everything on the machine waits for first; None if for nothing."""


class SharedStore(Protocol):
    def view(self) -> ClusterView: ...

    async def accept(self, *, act: bool, who: Requester) -> StoreChangeView: ...

    async def restore(self, *, act: bool, who: Requester) -> StoreChangeView: ...


class Schema(Protocol):
    async def upgrade(self, who: Requester) -> SchemaView: ...


class ClusterCreation(Protocol):
    async def create(self, request: ClusterRequest) -> MembershipView: ...


class Membership(Protocol):
    async def create_token(self, replaces: str, who: Requester) -> TokenView: ...

    async def remove_machine(
        self, machine: str, who: Requester, *, force: bool
    ) -> MembershipView: ...

    async def leave_cluster(self, who: Requester) -> MembershipView: ...


class EtcdMembership(Protocol):
    async def set_member(self, request: EtcdMemberRequest, who: Requester) -> EtcdMemberView: ...

    async def remove_member(self, name: str, address: str, who: Requester) -> EtcdMemberView: ...


class MemberOperations:
    machine_drain: DrainOperations | None = None
    """None on a machine that is in no cluster. Its parts stand on these operations."""
    shared: SharedStore | None = None
    """None where the cluster has no store."""
    schema: Schema | None = None
    """None there too."""
    etcd: EtcdMembership | None = None
    """None there too."""
    cluster_creation: ClusterCreation | None = None
    """None on a machine that is in a cluster."""
    membership: Membership | None = None
    """None on a machine that is in no cluster with a store."""

    async def drain(self, who: Requester, machine: str | None = None) -> ChangeView:
        return self._in_cluster("drain", machine).drain(who)

    async def undrain(self, who: Requester, machine: str | None = None) -> ChangeView:
        return self._in_cluster("undrain", machine).undrain(who)

    def _in_cluster(self, what: str, machine: str | None) -> DrainOperations:
        if self.machine_drain is None:
            raise Refused(f"cannot {what} this machine: it is in no cluster")
        own = self.machine_drain.machine
        if machine not in {None, own}:
            raise Refused(
                f"cannot {what} {machine} from {own}: the cluster has no store; "
                f"nothing was changed. Run `portico cluster {what}` on {machine}"
            )
        return self.machine_drain

    def cluster(self) -> ClusterView:
        return self._with_store().view()

    async def accept_store(self, who: Requester, *, act: bool = False) -> StoreChangeView:
        return await self._with_store().accept(act=act, who=who)

    async def restore_store(self, who: Requester, *, act: bool = False) -> StoreChangeView:
        return await self._with_store().restore(act=act, who=who)

    def _with_store(self) -> SharedStore:
        if self.shared is None:
            raise Refused(_NO_STORE)
        return self.shared

    async def upgrade_cluster(self, who: Requester) -> SchemaView:
        if self.schema is None:
            raise Refused(_NO_STORE)
        return await self.schema.upgrade(who)

    async def set_etcd_member(self, request: EtcdMemberRequest, who: Requester) -> EtcdMemberView:
        return await self._with_etcd().set_member(request, who)

    async def remove_etcd_member(
        self, member: str, who: Requester, *, address: str = ""
    ) -> EtcdMemberView:
        return await self._with_etcd().remove_member(member, address, who)

    def _with_etcd(self) -> EtcdMembership:
        if self.etcd is None:
            raise Refused(_NO_STORE)
        return self.etcd

    async def create_cluster(self, request: ClusterRequest) -> MembershipView:
        if self.cluster_creation is None:
            raise Refused("this machine is in a cluster; nothing was changed")
        return await self.cluster_creation.create(request)

    async def create_token(self, replaces: str, who: Requester) -> TokenView:
        return await self._in_store("create a token").create_token(replaces, who)

    async def remove_machine(
        self, machine: str, who: Requester, *, force: bool = False
    ) -> MembershipView:
        its = self._in_store(f"remove {machine}")
        return await its.remove_machine(machine, who, force=force)

    async def leave_cluster(self, who: Requester) -> MembershipView:
        return await self._in_store("leave").leave_cluster(who)

    def _in_store(self, what: str) -> Membership:
        if self.membership is None:
            raise Refused(
                f"cannot {what}: this machine is in no cluster with a store; nothing was changed. "
                "`portico cluster init --etcd URL` creates one"
            )
        return self.membership
