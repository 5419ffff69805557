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
from portico.core.model.shared import ENDPOINTS_KEY, StoreEndpoints, encoded
from portico.core.model.stored import Put
from portico.core.planning.etcd_members import act_on_member, member_to_drop
from portico.core.render.etcd_member import client_url, peer_url
from portico.engine.cluster.assembly import Shared
from portico.engine.cluster.authority import ClusterAuthority
from portico.engine.cluster.machine_users import MachineUsers
from portico.engine.events import Events
from portico.errors import Refused
from portico.ports.machine_signing import MachineSigning
from portico.system.cluster_store import read_store
from portico.system.home import Home

_DONE_TEXTS: Final = {"add": "added", "promote": "promoted", "renew": "renewed"}


class EtcdMembers:
    def __init__(
        self,
        shared: Shared,
        authority: ClusterAuthority,
        signing: MachineSigning,
        users: MachineUsers,
        events: Events,
        home: Home,
    ) -> None:
        self._shared, self._authority, self._signing = shared, authority, signing
        self._users, self._events, self._home = users, events, home

    async def set_member(self, request: EtcdMemberRequest, who: Requester) -> EtcdMemberView:
        """Raises StoreUnavailable, Refused, Failed."""
        self._shared.following.assert_current()
        name, peer = request.name, peer_url(request.address)
        endpoints = await self._endpoints()
        async with self._users.writer() as store:
            members = await store.members()
            act = act_on_member(name, peer, members)
            if act == "promote":
                [own] = [each for each in members if peer in each.peers]
                await store.promote_member(own.id)
                endpoints = await self._share([*endpoints, client_url(request.address)])
                return self._view("promoted", endpoints, who, name)
            authority = await self._authority.certificate()
            signed = await self._signing.sign_machine(
                authority, await self._authority.key(), request.request, name, request.address
            )
            if act == "add":
                await store.add_member(peer)
        return self._view(
            _DONE_TEXTS[act],
            endpoints,
            who,
            name,
            authority=authority,
            certificate=signed.certificate,
            peers={each.name: each.peers[0] for each in members if each.name} | {name: peer},
        )

    async def remove_member(self, name: str, address: str, who: Requester) -> EtcdMemberView:
        """Raises StoreUnavailable, Refused, NotFound, Failed."""
        self._shared.following.assert_current()
        endpoints = await self._endpoints()
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
                await self._share(left)
            if member:
                await store.drop_member(member.id)
        return self._view("removed", left, who, name)

    async def _endpoints(self) -> list[str]:
        store = await asyncio.to_thread(read_store, self._home)
        assert store is not None  # noqa: S101 - this daemon has one
        if store.authority:
            raise Refused(
                "etcd has certificates of an authority of its own; nothing was changed. Add and "
                "remove its members with `etcdctl member`"
            )
        shared = self._shared.following.value(StoreEndpoints, ENDPOINTS_KEY)
        return list(shared.urls if shared else store.endpoints)

    async def _share(self, urls: Sequence[str]) -> list[str]:
        """Have all machines use them."""
        found = list(dict.fromkeys(urls))
        record = StoreEndpoints(urls=tuple(found))
        await self._shared.transaction([], [Put(ENDPOINTS_KEY, encoded(record))])
        return found

    def _view(
        self, done: str, endpoints: Sequence[str], who: Requester, name: str, **more: object
    ) -> EtcdMemberView:
        self._events.note("machine", name, f"was {done} as a member of etcd by {who}")
        return EtcdMemberView.model_validate(
            {"cluster": self._shared.cluster, "done": done, "endpoints": endpoints, **more}
        )
