"""Who is in the cluster: tokens, machines that join by them, machines that are removed.

Each change is one transaction, so that a token is used once and a name is one machine's, whichever
machines are asked at a time.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import islice
from secrets import token_hex
from typing import Final

import msgspec

from portico import __version__
from portico.core.model.event import Requester
from portico.core.model.joining import (
    TOKEN_LIFETIME,
    JoinAnswer,
    JoinOffer,
    JoinRequest,
    StoreAccess,
    Token,
)
from portico.core.model.member_views import MembershipView, TokenView
from portico.core.model.names import url_host
from portico.core.model.shared import (
    MACHINES,
    TOKENS,
    JoinToken,
    SharedMachine,
    decode,
    encode,
    machine_key,
    present_key,
    progress_key,
    token_key,
)
from portico.core.model.snapshot import ABSENT, MAX_WRITES, Compare, Delete, Put, Write
from portico.core.planning.joining import digest_of, reason_not_to_join
from portico.engine.cluster.authority import ClusterAuthority
from portico.engine.cluster.cluster_store import ClusterStore
from portico.engine.cluster.machine_users import MachineUsers
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.errors import Failed, Refused
from portico.ports.store import Store
from portico.system.cluster_store import KEY_FILE, read_store
from portico.system.home import Home

JOIN_TIMEOUT: Final = 25.0


class Admission:
    def __init__(
        self,
        engine: Engine,
        in_force: InForce,
        shared: ClusterStore,
        authority: ClusterAuthority,
        users: MachineUsers,
        home: Home,
    ) -> None:
        self._in_force = in_force
        self._intent, self._events, self._clock = engine.intent, engine.events, engine.clock
        self._shared, self._home = shared, home
        self._authority, self._users = authority, users
        self._join_lock = asyncio.Lock()

    # What operators ask

    async def create_token(self, replaces: str, who: Requester) -> TokenView:
        """Raises StoreUnavailable, Refused, NotFound, Failed."""
        if replaces == self._shared.machine:
            await self._take_back()
        await self._assert_current()
        own = self._machines().get(self._shared.machine)
        if own is None or not self._shared.is_member():
            raise Refused(
                f"this machine, {self._shared.machine}, was removed from its cluster, or "
                "replaced; nothing was changed. `portico cluster leave` removes its files"
            )
        if replaces:
            self._shared.follower.machine_record(replaces)  # NotFound
        await self._in_force.serve_members()
        now = self._clock.now()
        authority = await self._authority.certificate()
        token = Token(token_hex(4), token_hex(16), _fingerprint(authority))
        record = JoinToken(
            digest=digest_of(token.secret), until=now + TOKEN_LIFETIME, replaces=replaces
        )
        key = token_key(token.id)
        writes = [
            Put(key, encode(record)),
            *self._outdated_tokens(now),
            *await self._authority.writes_of_key(),
        ]
        await self._shared.transaction([Compare(key, ABSENT)], writes)
        self._events.note("machine", replaces or "any", f"may join: {who} created a token")
        at = f"{url_host(own.address)}:{own.port}"
        return TokenView(token=str(token), address=at, until=record.until)

    async def _take_back(self) -> None:
        """Use the certificate of this machine again where a `join` that replaced it was not
        confirmed: only where it is alone in its cluster, and no other machine runs as it.
        """
        machine, follower = self._shared.machine, self._shared.follower
        key = machine_key(machine)
        if self._machines().keys() != {machine}:
            return
        if follower.trouble:  # its user may have been removed
            if self._users.are_needed():
                await self._users.add(machine, self._shared.serial)
            await follower.read()
        item, record = follower.item(key), self._machines().get(machine)
        present = follower.item(present_key(machine))
        is_used = present and present.session != self._shared.session.number
        if item is None or record is None or self._shared.is_member() or is_used:
            return
        if self._users.are_needed():
            await self._users.add(machine, self._shared.serial)
            await self._users.remove(self._users.name_of(machine, record.serial))
        whole = follower.prefix + key
        mine = msgspec.structs.replace(record, serial=self._shared.serial)
        async with self._users.writer() as store:
            done = await store.transaction(
                [Compare(whole, item.revision)], [Put(whole, encode(mine))]
            )
        await follower.read()
        if done is not None:
            self._events.note("machine", machine, "uses its certificate again")

    async def remove_machine(
        self, machine: str, who: Requester, *, force: bool = False
    ) -> MembershipView:
        """Raises StoreUnavailable, Refused, NotFound, with nothing changed, and OutcomeUnknown and
        Failed. Its rights in the store end first: by the record they are found again.
        """
        await self._assert_current()
        self._shared.assert_member()
        if machine == self._shared.machine:
            raise Refused(
                f"{machine} is this machine; nothing was changed. Run `portico cluster leave`"
            )
        revision = self._shared.follower.machine_record(machine).revision
        if self._shared.follower.item(present_key(machine)) and not force:
            raise Refused(
                f"the daemon of {machine} runs; nothing was changed. Run `portico cluster leave` "
                "there, or add --force"
            )
        await self._users.remove(*self._user_names(machine))
        async with self._users.writer() as store:
            await self._delete(store, machine, revision)
        self._events.note("machine", machine, f"was removed by {who}")
        return self._view(machine)

    async def leave_cluster(self, who: Requester) -> MembershipView:
        """Raises Refused, with nothing changed, and StoreUnavailable and Failed."""
        machine = self._shared.machine
        await self._assert_current()
        if self._intent.revisions:
            raise Refused(
                f"{machine} serves what is in force in the cluster; nothing was changed. Run "
                "`portico cluster drain` and `portico down --all` first"
            )
        record = self._shared.follower.item(machine_key(machine))
        if record and self._shared.is_member():  # else the record is that of its successor
            await self._delete(self._shared.store, machine, record.revision)
            self._events.note("machine", machine, f"has left; {who} asked for it")
        _, access = await asyncio.to_thread(self._access)
        await self._users.remove(access.user)
        return self._view(machine)

    # What a machine asks that joins

    async def offer(self) -> JoinOffer:
        authority = await self._authority.certificate()
        return JoinOffer(
            cluster=self._shared.cluster,
            authority=ssl.PEM_cert_to_DER_cert(authority),
            version=__version__,
            now=self._clock.now(),
        )

    async def join(self, request: JoinRequest) -> JoinAnswer:
        """Raises StoreUnavailable, Refused, Failed. Whatever fails, each user of etcd that is left
        is found by the record of its machine: `remove_machine` and another `join` remove it.
        """
        async with asyncio.timeout(JOIN_TIMEOUT), self._join_lock:
            return await self._admit(request)

    async def _admit(self, request: JoinRequest) -> JoinAnswer:
        await self._assert_current()
        self._shared.assert_member()
        token, revision = self._token(request.id)
        machines = self._machines()
        before = self._shared.follower.item(machine_key(request.name))
        schema, now = self._shared.follower.schema, self._clock.now()
        if why := reason_not_to_join(request, token, machines, now, schema):
            raise Refused(why)
        assert token is not None  # noqa: S101 - else there was a reason
        name, outdated = request.name, self._user_names(request.name)
        signed = await self._authority.sign(request.request, name)
        cluster_key, access = await asyncio.to_thread(self._access)
        record = SharedMachine(
            address=request.address,
            port=request.port,
            labels=request.labels or (replaced.labels if (replaced := machines.get(name)) else ()),
            serial=signed.serial,
        )
        used = msgspec.structs.replace(token, used=name)
        await self._users.remove(*outdated)  # while the record has its serial
        async with self._users.writer() as store:
            done = await self._shared.transaction(
                [
                    Compare(token_key(request.id), revision),
                    Compare(machine_key(name), before.revision if before else ABSENT),
                ],
                [
                    Put(machine_key(name), encode(record)),
                    Put(token_key(request.id), encode(used)),
                ],
                store,
            )
        if done is None:
            raise Refused(
                "the token was used, or the machine added, at the same moment; try again"
            )
        if self._users.are_needed():
            user = await self._users.add(name, signed.serial)
            access = msgspec.structs.replace(access, user=user.name, password=user.password)
        return JoinAnswer(certificate=signed.certificate, cluster_key=cluster_key, store=access)

    async def _assert_current(self) -> None:
        """A daemon that was just started may not have asked the store yet."""
        if self._shared.follower.trouble:
            await self._shared.follower.read()
        self._shared.follower.assert_current()

    # What there is

    def _machines(self) -> Mapping[str, SharedMachine]:
        return self._shared.follower.values(SharedMachine, MACHINES)

    def _user_names(self, name: str) -> Sequence[str]:
        """Of its user in etcd, if there is such a machine."""
        machine = self._machines().get(name)
        return [self._users.name_of(name, machine.serial)] if machine else []

    def _token(self, token: str) -> tuple[JoinToken | None, int]:
        item = self._shared.follower.item(token_key(token))
        return (decode(JoinToken, item.value), item.revision) if item else (None, ABSENT)

    def _outdated_tokens(self, now: float) -> list[Write]:
        tokens = (
            (token_id, decode(JoinToken, item.value))
            for token_id, item in self._shared.follower.items_of(TOKENS).items()
        )
        old = (each for each, token in tokens if token is None or token.until < now)
        return [Delete(token_key(each)) for each in islice(old, MAX_WRITES)]

    async def _delete(self, store: Store, machine: str, revision: int) -> None:
        """With all that it has written of itself, and the tokens by which it may be replaced."""
        prefix, key = self._shared.follower.prefix, machine_key(machine)
        tokens = self._shared.follower.values(JoinToken, TOKENS).items()
        replacing = [token_key(name) for name, each in tokens if each.replaces == machine]
        keys = [key, present_key(machine), progress_key(machine), *replacing]
        writes = [Delete(prefix + each) for each in keys]
        if await store.transaction([Compare(prefix + key, revision)], writes) is None:
            raise Failed(
                f"{machine} was changed or removed at the same moment; look at `portico cluster "
                "show` before you try again"
            )

    def _view(self, machine: str) -> MembershipView:
        return MembershipView(cluster=self._shared.cluster, name=machine)

    def _access(self) -> tuple[bytes, StoreAccess]:
        store = read_store(self._home)
        assert store is not None  # noqa: S101 - this daemon has one
        access = StoreAccess(
            endpoints=tuple(store.endpoints),
            user=store.user,
            password=store.password,
            plain=store.plain,
            authority=store.authority,
        )
        return (self._home.cluster / KEY_FILE).read_bytes(), access


def _fingerprint(authority: str) -> str:
    return sha256(ssl.PEM_cert_to_DER_cert(authority)).hexdigest()
