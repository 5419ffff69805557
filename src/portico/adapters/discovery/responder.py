"""The DNS server that tells nginx where the instances of an app are."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from typing import Final, NamedTuple

from portico.adapters.discovery.askers import Askers
from portico.adapters.discovery.wire import Reply, reply_to
from portico.core.model.world import Endpoint
from portico.core.planning.discovery import Zone
from portico.errors import Failed
from portico.ports import Clock, Ports

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
FIRST_PORT, LAST_PORT = 10_053, 10_152  # below those of instances, and those of the system
LONGEST_QUERY: Final = 4096
AT_A_TIME: Final = 64  # datagrams, before others get their turn
RECEIVE_BUFFER: Final = 1 << 20  # a reload with 300 slots asks 300 addresses at once
IDLE: Final = 30.0
MOST_REMEMBERED: Final = 4096
ID: Final = 2  # octets of a message's id; what follows decides the answer

NOTHING_LOST: Final = "nginx keeps the instances it was told of last"


class _Known(NamedTuple):
    reply: Reply | None
    version: int


class Responder:
    """Implements `Discovery` on a UDP and a TCP port of loopback, both of one number.

    `told` is exact about every worker that still asks. It cannot see a worker of an older
    generation whose fellow that asked for both has exited: such a worker keeps the peers of that
    moment for the requests of connections it still holds (`keepalive_min_timeout`, and no new
    ones). So what was told is the reason to expect no new connection; that an instance is
    drained is proved by the connections to its port.
    """

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self._host, self._port, self._clock = host, port, clock
        self._apps: dict[str, tuple[Endpoint, ...]] = {}
        self._withdrawn: set[str] = set()
        self._version = 0
        self._versions: dict[str, int] = {}
        self._known: dict[tuple[bool, bytes], _Known] = {}
        self._askers = Askers()
        self._truncated: dict[bytes, int] = {}
        """By the whole question, which nginx repeats over TCP: the UDP port that asked it."""
        self._udp: socket.socket | None = None
        self._tcp: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @classmethod
    async def open(
        cls, remembered: int, clock: Clock, ports: Ports, host: str = HOST
    ) -> Responder:
        """Listen on the remembered port; 0 takes the first free one of a fixed range.

        Raises Failed when the port is taken, with who holds it.
        """
        candidates = [remembered] if remembered else range(FIRST_PORT, LAST_PORT + 1)
        for port in candidates:
            responder = cls(host, port, clock)
            try:
                await responder._listen()
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise Failed(f"cannot answer nginx on {host}:{port}: {error}") from error
            else:
                return responder
        raise Failed(await _taken(host, remembered, ports))

    async def stop(self) -> None:
        if self._udp is not None:
            asyncio.get_running_loop().remove_reader(self._udp)
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for writer in tuple(self._open):
            writer.close()
        self._udp = self._tcp = None

    @property
    def address(self) -> str:
        return f"{self._host}:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    def publish(self, app: str, endpoints: tuple[Endpoint, ...]) -> int:
        if self._apps.get(app) == endpoints:
            return self._versions[app]
        self._version += 1
        self._apps[app], self._versions[app] = endpoints, self._version
        self._withdrawn.discard(app)
        self._known.clear()
        return self._version

    def withdraw(self, app: str) -> None:
        self._apps.pop(app, None)
        self._versions.pop(app, None)
        self._withdrawn.add(app)
        self._askers.forget(app)
        self._known.clear()

    def told(self, app: str) -> tuple[int, float]:
        return self._askers.told(app)

    async def _listen(self) -> None:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            udp.bind((self._host, self._port))
            self._tcp = await asyncio.start_server(self._converse, self._host, self._port)
        except OSError:
            udp.close()
            raise
        self._udp = udp
        asyncio.get_running_loop().add_reader(udp, self._receive, udp)

    def _receive(self, udp: socket.socket) -> None:
        for _ in range(AT_A_TIME):
            try:
                query, sender = udp.recvfrom(LONGEST_QUERY)
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("cannot read a question of nginx: %s", error)
                return
            self._answer_datagram(udp, query, sender)

    def _answer_datagram(self, udp: socket.socket, query: bytes, sender: tuple[str, int]) -> None:
        reply, version = self._reply(query, tcp=False)
        if reply is None:
            return
        try:
            udp.sendto(query[:ID] + reply.octets, sender)
        except OSError:
            return  # a lost answer is asked for again
        if reply.truncated:
            if len(self._truncated) >= MOST_REMEMBERED:
                self._truncated.clear()
            self._truncated[query] = sender[1]
        elif reply.app:
            self._askers.answered(reply.app, sender[1], version, self._clock.monotonic())

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the questions of one TCP connection, each after its length (RFC 1035 4.2.2)."""
        self._open.add(writer)
        try:
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                while await self._answer_one(reader, writer):
                    pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        async with asyncio.timeout(IDLE):
            length = int.from_bytes(await reader.readexactly(2), "big")
            if length > LONGEST_QUERY:
                return False
            query = await reader.readexactly(length)
            reply, version = self._reply(query, tcp=True)
            if reply is None:
                return False
            octets = query[:ID] + reply.octets
            writer.write(len(octets).to_bytes(2, "big") + octets)
            await writer.drain()
        asker = self._truncated.pop(query, None)
        if reply.app and asker is not None:
            self._askers.answered(reply.app, asker, version, self._clock.monotonic())
        return True

    def _reply(self, query: bytes, *, tcp: bool) -> _Known:
        """The reply without its id: the same question has the same answer until a change."""
        key = tcp, query[ID:]
        known = self._known.get(key)
        if known is None:
            reply = reply_to(query, Zone(self._apps, frozenset(self._withdrawn)), tcp=tcp)
            if reply is None:
                return _Known(None, 0)
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            without_id = Reply(reply.octets[ID:], reply.app, reply.truncated)
            known = _Known(without_id, self._versions.get(reply.app or "", 0))
            self._known[key] = known
        return known


async def _taken(host: str, port: int, ports: Ports) -> str:
    if not port:
        return (
            f"cannot answer nginx: the ports {FIRST_PORT} to {LAST_PORT} of {host} are all "
            f"taken; {NOTHING_LOST}"
        )
    holder = await ports.holder(port) or "another program"
    return (
        f"cannot answer nginx on {host}:{port}, where it asks: the port is held by {holder}; "
        f"stop that program and start the daemon again; {NOTHING_LOST}"
    )
