"""What an operator can ask about the members of a cluster: a part of `Operations`."""

from __future__ import annotations

from typing import Protocol

from portico.core.model.event import Requester
from portico.core.model.member_views import ClusterRequest, MembershipView, TokenView
from portico.errors import Refused


class Founding(Protocol):
    async def create(self, request: ClusterRequest) -> MembershipView: ...


class Membership(Protocol):
    async def create_token(self, replaces: str, who: Requester) -> TokenView: ...

    async def remove_machine(
        self, machine: str, who: Requester, *, force: bool
    ) -> MembershipView: ...

    async def leave_cluster(self, who: Requester) -> MembershipView: ...


class MemberOperations:
    founding: Founding | None = None
    """None on a machine that is in a cluster."""
    membership: Membership | None = None
    """None on a machine that is in no cluster with a store."""

    async def create_cluster(self, request: ClusterRequest) -> MembershipView:
        if self.founding is None:
            raise Refused("this machine is in a cluster; nothing was changed")
        return await self.founding.create(request)

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
