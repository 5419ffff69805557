"""The DNS server that tells nginx where the instances of an app are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from portico.adapters.discovery.address import ReservedAddress, reserve
from portico.adapters.discovery.client_sockets import ClientSockets
from portico.adapters.discovery.owners import Asker, Owners
from portico.adapters.discovery.resolvers import Resolvers
from portico.adapters.discovery.waiting import MIN_WAIT, WaitingQuestions
from portico.adapters.discovery.wire import Reply, reply_to
from portico.core.model.generation import ReservedSockets
from portico.core.model.names import HELD_LABEL, hold_label
from portico.core.model.world import Endpoint, FarEndpoint
from portico.core.planning.discovery import Zone
from portico.ports.clock import Clock
from portico.system.socket_table import Address

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
MAX_QUERY_SIZE: Final = 4096
DATAGRAMS_AT_ONCE: Final = 64  # before others get their turn
IDLE_TIMEOUT: Final = 30.0
MAX_REMEMBERED_QUERIES: Final = 4096
ID_LENGTH: Final = 2  # octets of a message's id; what follows decides the answer


class _CachedReply(NamedTuple):
    reply: Reply | None
    version: int


class Responder:
    """Implements `Discovery` on a UDP and a TCP port of loopback, both of one number.

    Only what nginx asks counts. Who else asks gets no answer, once it is known that nginx does
    not run as that user.

    `acknowledged` is exact about every worker that still asks. It cannot see a worker of an older
    generation whose fellow that asked for both has exited: such a worker keeps the peers of that
    moment for the requests of connections it still holds (`keepalive_min_timeout`, and no new
    ones). So an acknowledgement is the reason to expect no new connection; that an instance
    is drained is shown by the connections to its port.
    """

    def __init__(self, address: ReservedAddress, owners: Owners, clock: Clock) -> None:
        self._address, self._owners, self._clock = address, owners, clock
        self._client_sockets = ClientSockets(address, self._receive)
        self._apps: dict[str, tuple[Endpoint, ...]] = {}
        self._far: dict[str, tuple[FarEndpoint, ...]] = {}
        self._withdrawn: set[str] = set()
        self._version = 0
        self._versions: dict[str, int] = {}
        self._cache: dict[tuple[bool, bytes], _CachedReply] = {}
        self._resolvers = Resolvers()
        self._waiting = WaitingQuestions()
        self._held: frozenset[str] | None = None
        """By `hold_label`; None until it is known, and then all may be."""
        self._truncated: dict[bytes, Address] = {}
        """By the whole question, which nginx repeats over TCP: the UDP socket that asked it."""
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @classmethod
    async def open(
        cls,
        clock: Clock,
        remembered: str = "",
        hosts: Sequence[str] = (HOST,),
        *,
        below: int = 0,
        users: Callable[[], frozenset[int]] = frozenset,
    ) -> Responder:
        """Answer at the remembered address, else at a free one of these hosts, which have to be
        this home's alone; as root at a port below `below`, where other users have none.

        `users` says as whom nginx's workers run, beside our own user; it may block. Raises Failed
        when every port is taken.
        """
        address = await asyncio.to_thread(
            reserve, remembered, hosts, below=below, fraction=clock.jitter()
        )
        known = await asyncio.to_thread(users)  # of an nginx that runs, from its first question on
        responder = cls(address, Owners((address.host, address.port), users, clock, known), clock)
        responder._server = await asyncio.start_server(responder._serve_tcp, sock=address.tcp)
        asyncio.get_running_loop().add_reader(address.udp, responder._receive, address.udp)
        return responder

    async def stop(self) -> None:
        if self._server is None:
            return
        asyncio.get_running_loop().remove_reader(self._address.udp)
        self._server.close()
        self._server = None
        for writer in tuple(self._open):
            writer.close()
        self._client_sockets.close()
        self._owners.close()
        self._address.close()

    @property
    def address(self) -> str:
        return self._address.address

    @property
    def held(self) -> ReservedSockets:
        return ReservedSockets(
            self.address, tuple(each.fileno() for each in self._address.keepers)
        )

    def publish(self, app: str, endpoints: tuple[Endpoint, ...]) -> int:
        if self._apps.get(app) == endpoints:
            return self._versions[app]
        self._version += 1
        self._apps[app], self._versions[app] = endpoints, self._version
        self._withdrawn.discard(app)
        self._cache.clear()
        return self._version

    def publish_far(self, app: str, machines: tuple[FarEndpoint, ...]) -> None:
        self._far[app] = machines
        self._cache.clear()

    def withdraw(self, app: str) -> None:
        self._apps.pop(app, None)
        self._far.pop(app, None)
        self._versions.pop(app, None)
        self._withdrawn.add(app)
        self._resolvers.forget(app)
        self._cache.clear()

    def hold(self, sites: frozenset[str]) -> None:
        labels = frozenset(map(hold_label, sites))
        released, self._held = (self._held or frozenset()) - labels, labels
        for label in released:
            for send in self._waiting.take(_of_site(label)):
                send()

    def acknowledged_version(self, app: str) -> tuple[int, float]:
        return self._resolvers.acknowledged_version(app)

    def has_read(self, app: str) -> bool:
        return all(self._owners.has_read(asker) for asker in self._resolvers.askers(app))

    def _receive(self, udp: socket.socket) -> None:
        for _ in range(DATAGRAMS_AT_ONCE):
            try:
                query, sender = udp.recvfrom(MAX_QUERY_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                self._client_sockets.record_failure(udp, error)
                return
            asker = self._owners.asker(socket.SOCK_DGRAM, sender)
            if asker is not Asker.STRANGER:
                self._answer_datagram(udp, query, sender, counts=asker is Asker.NGINX)

    def _answer_datagram(
        self, udp: socket.socket, query: bytes, sender: tuple[str, int], *, counts: bool
    ) -> None:
        reply, version = self._reply(query, tcp=False)
        if reply is None:
            return
        if counts:
            self._client_sockets.open(sender)
        send = partial(_send, udp, query[:ID_LENGTH] + reply.octets, sender)
        if reply.waits_for:
            self._answer_later(reply.waits_for, (query, sender), send)
            return
        if reply.held and (self._held is None or reply.held in self._held):
            self._waiting.add(_of_site(reply.held), (query, sender), send, self._clock.monotonic())
            return
        if not send() or not counts:
            return
        if reply.truncated:
            if len(self._truncated) >= MAX_REMEMBERED_QUERIES:
                self._truncated.clear()
            self._truncated[query] = sender
        elif reply.app:
            self._resolvers.record_answer(reply.app, sender, version, self._clock.monotonic())
            self._look_at_waiting(reply.app)

    def _answer_later(self, app: str, key: Hashable, send: Callable[[], object]) -> None:
        self._waiting.add(app, key, send, self._clock.monotonic())
        self._look_at_waiting(app)

    def _look_at_waiting(self, app: str) -> None:
        if self._waiting.has(app):
            asyncio.get_running_loop().call_later(MIN_WAIT * 1.01, self._answer_waiting, app)

    def _answer_waiting(self, app: str) -> None:
        """Answer those who wait for the app, if nginx knows an endpoint of it: it has read where
        the app is, and has had the time to ask for the address of a slot.
        """
        now = self._clock.monotonic()
        version, since = self._resolvers.acknowledged_version(app)
        is_known = version >= self._versions.get(app, 1) and now - since >= MIN_WAIT
        if is_known and self._apps.get(app) and self.has_read(app):
            for send in self._waiting.take(app, asked_before=now - MIN_WAIT):
                send()

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the questions of one TCP connection, each after its length (RFC 1035 4.2.2)."""
        self._open.add(writer)
        try:
            sender = writer.get_extra_info("peername")
            asker = self._owners.asker(socket.SOCK_STREAM, sender)
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                while asker is not Asker.STRANGER and await self._answer_one(
                    reader, writer, counts=asker is Asker.NGINX
                ):
                    pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counts: bool
    ) -> bool:
        async with asyncio.timeout(IDLE_TIMEOUT):
            length = int.from_bytes(await reader.readexactly(2), "big")
            if length > MAX_QUERY_SIZE:
                return False
            query = await reader.readexactly(length)
            reply, version = self._reply(query, tcp=True)
            if reply is None:
                return False
            octets = query[:ID_LENGTH] + reply.octets
            writer.write(len(octets).to_bytes(2, "big") + octets)
            await writer.drain()
        asker = self._truncated.pop(query, None) if counts else None
        if reply.app and asker is not None:
            self._resolvers.record_answer(reply.app, asker, version, self._clock.monotonic())
        return True

    def _reply(self, query: bytes, *, tcp: bool) -> _CachedReply:
        """The reply without its id: the same question has the same answer until a change."""
        key = tcp, query[ID_LENGTH:]
        cached = self._cache.get(key)
        if cached is None:
            zone = Zone(self._apps, frozenset(self._withdrawn), self._far)
            reply = reply_to(query, zone, tcp=tcp)
            if reply is None:
                return _CachedReply(None, 0)
            if len(self._cache) >= MAX_REMEMBERED_QUERIES:
                self._cache.clear()
            without_id = replace(reply, octets=reply.octets[ID_LENGTH:])
            cached = _CachedReply(without_id, self._versions.get(reply.app or "", 0))
            self._cache[key] = cached
        return cached


def _of_site(label: str) -> str:
    """What its questions wait for; no app has such a name."""
    return f"{HELD_LABEL}.{label}"


def _send(udp: socket.socket, octets: bytes, receiver: tuple[str, int]) -> bool:
    """Whether it was sent; an answer that was not is asked for again."""
    try:
        udp.sendto(octets, receiver)
    except OSError:
        return False
    return True
