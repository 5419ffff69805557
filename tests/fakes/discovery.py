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
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        response = dns.message.make_response(query)
        if kind == "A":
            response.answer = [dns.rrset.from_text(name, 300, "IN", "A", "127.0.0.1")]
        elif kind == "SRV":
            app = name.removeprefix("_http._tcp.").removesuffix(f".{DISCOVERY_DOMAIN}.")
            texts = [
                f"{int(backup)} {weight} {port} {slot_host(_named(app), slot)}."
                for slot, given in enumerate(self.peers.get(app, ()), start=1)
                if given is not None
                for port, weight, backup in [_peer(given)]
            ]
            if texts:
                response.answer = [dns.rrset.from_text(name, 0, "IN", "SRV", *texts)]
        return response.to_wire()


def _named(app: str) -> str:
    """Machines have one name, whether they are to take a stream or not."""
    label, _, name = app.rpartition(".")
    return far_host(name).removesuffix(f".{DISCOVERY_DOMAIN}") if label in _MACHINES else app


def _peer(given: int | tuple[int, int, bool]) -> tuple[int, int, bool]:
    return given if isinstance(given, tuple) else (given, 1, False)
