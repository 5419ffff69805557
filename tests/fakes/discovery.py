"""Answers nginx's question where the instances of an app are, as the daemon does (DNS SRV)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from portico.core.model.names import (
    DISCOVERY_DOMAIN,
    MACHINES_LABEL,
    STREAMS_LABEL,
    far_host,
    slot_host,
)

_MACHINES = {MACHINES_LABEL, STREAMS_LABEL}


class FakeDiscovery:
    """A DNS server on a free UDP port of loopback; `peers` may change while it answers.

    `peers["web"]` is a list of ports, or of `(port, weight, backup)`; the place in the list,
    from 1, is the slot, and None there is no peer. `asked` holds every question:
    `("_http._tcp.web.portico.internal.", "SRV")`. Questions of requests that wait are `waiting`
    until `release` answers them.
    """

    def __init__(self, **peers: Iterable[int | tuple[int, int, bool] | None]) -> None:
        self.peers = {app: list(ports) for app, ports in peers.items()}
        self.asked: list[tuple[str, str]] = []
        self.waiting: list[tuple[bytes, tuple[str, int]]] = []
        self._questions: dict[bytes, tuple[str, str]] = {}
        self._answers: dict[tuple[bytes, tuple[object, ...]], bytes] = {}
        """Each worker of nginx asks the same every second: without the number of the query."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(60)
        self._socket.close()

    def release(self) -> None:
        for question, sender in self.waiting:
            response = dns.message.make_response(dns.message.from_wire(question))
            response.set_rcode(dns.rcode.NXDOMAIN)
            self._socket.sendto(response.to_wire(), sender)
        self.waiting.clear()

    def _serve(self) -> None:
        with suppress(OSError):
            while message := self._socket.recvfrom(4096):
                question, sender = message
                if not question:
                    return
                if b"\x04wait" in question:
                    self.waiting.append(message)
                    continue
                self._socket.sendto(self._answer(question), sender)

    def _answer(self, wire: bytes) -> bytes:
        number, question = wire[:2], wire[2:]
        if question not in self._questions:
            asked = dns.message.from_wire(wire).question[0]
            self._questions[question] = asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype)
        name, kind = self._questions[question]
        self.asked.append((name, kind))
        app = name.removeprefix("_http._tcp.").removesuffix(f".{DISCOVERY_DOMAIN}.")
        peers = tuple(self.peers.get(app, ()))
        if (question, peers) not in self._answers:
            response = dns.message.make_response(dns.message.from_wire(wire))
            if texts := _records(app, kind, peers):
                seconds = 300 if kind == "A" else 0
                response.answer = [dns.rrset.from_text(name, seconds, "IN", kind, *texts)]
            self._answers[question, peers] = response.to_wire()[2:]
        return number + self._answers[question, peers]


def _records(
    app: str, kind: str, peers: tuple[int | tuple[int, int, bool] | None, ...]
) -> list[str]:
    if kind == "A":
        return ["127.0.0.1"]
    if kind != "SRV":
        return []
    return [
        f"{int(backup)} {weight} {port} {slot_host(_named(app), slot)}."
        for slot, given in enumerate(peers, start=1)
        if given is not None
        for port, weight, backup in [_peer(given)]
    ]


def _named(app: str) -> str:
    """Machines have one name, whether they are to take a stream or not."""
    label, _, name = app.rpartition(".")
    return far_host(name).removesuffix(f".{DISCOVERY_DOMAIN}") if label in _MACHINES else app


def _peer(given: int | tuple[int, int, bool]) -> tuple[int, int, bool]:
    return given if isinstance(given, tuple) else (given, 1, False)
