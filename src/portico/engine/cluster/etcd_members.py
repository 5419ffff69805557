"""Members of the cluster's etcd that an operator adds or removes while it runs.

A new one takes no part until it has started and has all data: a wrong address costs nothing. The
machines then use the addresses of all members, which is a key of the store too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from portico.core.model.event import Requester
from portico.core.model.member_views import EtcdMemberRequest, EtcdMemberView
from portico.core.model.shared import ENDPOINTS_KEY, StoreEndpoints, decode, encode
from portico.core.model.snapshot import ABSENT, Compare, Put
from portico.core.planning.etcd_members import act_on_member, member_to_drop
from portico.core.render.etcd_member import client_url, peer_url
from portico.engine.cluster.authority import ClusterAuthority
from portico.engine.cluster.cluster_store import ClusterStore
from portico.engine.cluster.machine_users import MachineUsers
from portico.engine.events import Events
from portico.errors import Refused
from portico.system.cluster_store import read_store
from portico.system.home import Home

_DONE_TEXTS: Final = {"add": "added", "promote": "promoted", "renew": "renewed"}


class EtcdMembers:
    def __init__(
        self,
        shared: ClusterStore,
        authority: ClusterAuthority,
        users: MachineUsers,
        events: Events,
        home: Home,
    ) -> None:
        self._shared, self._authority = shared, authority
        self._users, self._events, self._home = users, events, home

    async def set_member(self, request: EtcdMemberRequest, who: Requester) -> EtcdMemberView:
        """Raises StoreUnavailable, Refused, Failed."""
        self._shared.follower.assert_current()
        name, peer = request.name, peer_url(request.address)
        endpoints, known = await self._endpoints()
        async with self._users.writer() as store:
            members = await store.members()
            act = act_on_member(name, peer, members)
            own = next((each for each in members if peer in each.peers), None)
            if own and act == "promote":
                await store.promote_member(own.id)
            url = client_url(request.address)
            if own and own.name and not {url, *own.clients} & {*endpoints}:
                endpoints = await self._share([*endpoints, url], known)
            if act == "promote":
                return self._view("promoted", endpoints, who, name)
            signed = await self._authority.sign(request.request, name, request.address)
            if act == "add":
                await store.add_member(peer)
        return self._view(
            _DONE_TEXTS[act],
            endpoints,
            who,
            name,
            authority=await self._authority.certificate(),
            certificate=signed.certificate,
            peers={each.name: each.peers[0] for each in members if each.name} | {name: peer},
        )

    async def remove_member(self, name: str, address: str, who: Requester) -> EtcdMemberView:
        """Raises StoreUnavailable, Refused, NotFound, Failed."""
        self._shared.follower.assert_current()
        endpoints, known = await self._endpoints()
        async with self._users.writer() as store:
            member = member_to_drop(
                name, peer_url(address) if address else "", await store.members()
            )
            clients = member.clients if member else [client_url(address)]
            left = [each for each in endpoints if each not in clients]
            if not left:
                raise Refused(
                    f"the machines reach etcd at {name} alone; nothing was changed. Add another "
                    "member first"
                )
            if left != endpoints:
                await self._share(left, known)
            if member:
                await store.drop_member(member.id)
        return self._view("removed", left, who, name)

    async def _endpoints(self) -> tuple[list[str], int]:
        """With the revision of the key that they are of."""
        store = await asyncio.to_thread(read_store, self._home)
        assert store is not None  # noqa: S101 - this daemon has one
        if store.authority:
            raise Refused(
                "etcd has certificates of an authority of its own; nothing was changed. Add and "
                "remove its members with `etcdctl member`"
            )
        item = self._shared.follower.item(ENDPOINTS_KEY)
        shared = decode(StoreEndpoints, item.value) if item else None
        urls = shared.urls if shared else store.endpoints
        return list(urls), item.revision if item else ABSENT

    async def _share(self, urls: list[str], known: int) -> list[str]:
        """Have all machines use them, in place of those of that revision. Raises Refused."""
        put = Put(ENDPOINTS_KEY, encode(StoreEndpoints(urls=tuple(urls))))
        if await self._shared.transaction([Compare(ENDPOINTS_KEY, known)], [put]) is None:
            raise Refused(
                "the addresses of etcd's members were changed at the same moment; run the command "
                "again"
            )
        return urls

    def _view(
        self, done: str, endpoints: Sequence[str], who: Requester, name: str, **more: object
    ) -> EtcdMemberView:
        self._events.note("machine", name, f"was {done} as a member of etcd by {who}")
        return EtcdMemberView.model_validate(
            {"cluster": self._shared.cluster, "done": done, "endpoints": endpoints, **more}
        )
