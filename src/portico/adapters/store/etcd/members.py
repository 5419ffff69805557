"""The members of etcd (rpc.proto: service Cluster). A new one is a learner until it is
promoted, so that a wrong address takes no majority away.
"""

from __future__ import annotations

from collections.abc import Sequence

from portico.adapters.store.etcd.gateway import Gateway
from portico.adapters.store.etcd.wire import Answer, MemberList
from portico.core.model.snapshot import StoreMember


async def members(gateway: Gateway) -> Sequence[StoreMember]:
    found = await gateway.read("/v3/cluster/member/list", {}, MemberList)
    return [
        StoreMember(each.id, each.name, each.peers, each.clients, each.is_learner)
        for each in found.members
    ]


async def add_member(gateway: Gateway, peer: str) -> None:
    await gateway.change("/v3/cluster/member/add", {"peerURLs": [peer], "isLearner": True}, Answer)


async def promote_member(gateway: Gateway, member: int) -> None:
    await gateway.change("/v3/cluster/member/promote", {"ID": str(member)}, Answer)


async def drop_member(gateway: Gateway, member: int) -> None:
    await gateway.change("/v3/cluster/member/remove", {"ID": str(member)}, Answer)
