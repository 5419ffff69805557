"""Name servers on loopback addresses that share one set of records, and take signed updates.

Each address can be told to lag behind or to be silent. All of them also answer as a resolver
would: for every name, with CNAME records followed.
"""

from __future__ import annotations

import base64
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.tsigkeyring
import dns.update

from tests.addresses import free_port

KEY_NAME = "portico"
SECRET = base64.b64encode(b"a secret of thirty-two characters").decode()


class NameServers:
    """`zones` are the names that have a SOA record; every other name belongs to the nearest."""

    def __init__(
        self, zones: tuple[str, ...], addresses: tuple[str, ...], port: int | None = None
    ) -> None:
        self.port, self.addresses = port or free_port(), addresses
        self.records: dict[tuple[str, str], list[str]] = {}
        self.asked: list[tuple[str, str, str]] = []
        """Address, name and type."""
        self.updates: list[str] = []
        self.behind: dict[str, dict[tuple[str, str], list[str]]] = {}
        """What an address still answers instead."""
        self.silent: set[str] = set()
        self.keeps = False
        """Whether updates that would take a record away get no answer."""
        self.keys = dns.tsigkeyring.from_text({KEY_NAME: SECRET})
        for zone in zones:
            self._add_zone(zone)

    def _add_zone(self, zone: str) -> None:
        servers = {f"ns{n}.{zone}": address for n, address in enumerate(self.addresses, 1)}
        self.records[zone, "SOA"] = [f"ns1.{zone}. root.{zone}. 1 60 60 60 60"]
        self.records[zone, "NS"] = [f"{name}." for name in servers]
        for name, address in servers.items():
            self.records[name, "A"] = [address]

    @property
    def resolver(self) -> str:
        return f"{self.addresses[0]}:{self.port}"

    def txt(self, name: str) -> set[str]:
        return {text.strip('"') for text in self.records.get((name, "TXT"), [])}

    def hold_back(self, address: str) -> None:
        """From now on the address answers what it has now."""
        self.behind[address] = {key: list(values) for key, values in self.records.items()}

    def catch_up(self, address: str) -> None:
        del self.behind[address]

    # answers

    def answer(self, address: str, wire: bytes) -> bytes | None:
        if address in self.silent:
            return None
        try:
            query = dns.message.from_wire(wire, keyring=self.keys)
        except (dns.tsig.PeerError, dns.message.UnknownTSIGKey, dns.tsig.BadSignature):
            return _refused(wire)
        if isinstance(query, dns.update.UpdateMessage):
            removes = any(rrset.deleting for rrset in query.update)
            return None if self.keeps and removes else self._updated(query)
        return self._found(address, query)

    def _found(self, address: str, query: dns.message.Message) -> bytes:
        question, reply = query.question[0], dns.message.make_response(query)
        reply.flags |= dns.flags.AA | dns.flags.RA
        name, kind = _text(question.name), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((address, name, kind))
        records = self.behind.get(address, self.records)
        while kind != "CNAME" and (target := records.get((name, "CNAME"))):
            reply.answer.append(_rrset(name, "CNAME", target))
            name = target[0].rstrip(".")
        if values := records.get((name, kind)) or self._default(name, kind):
            reply.answer.append(_rrset(name, kind, values))
        elif not any(known == name or known.endswith(f".{name}") for known, _ in records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if not reply.answer and (zone := self._zone(name)):
            reply.authority.append(_rrset(zone, "SOA", self.records[zone, "SOA"]))
        return reply.to_wire()

    def _default(self, name: str, kind: str) -> list[str]:
        """Names of sites are all here, so that proofs over HTTP are looked for here too."""
        return ["127.0.0.1"] if kind == "A" and not name.startswith("_") else []

    def _zone(self, name: str) -> str | None:
        zones = [zone for zone, kind in self.records if kind == "SOA"]
        return max((z for z in zones if f".{name}".endswith(f".{z}")), key=len, default=None)

    def _updated(self, update: dns.update.UpdateMessage) -> bytes:
        reply = dns.message.make_response(update)
        zone = _text(update.zone[0].name)
        if not update.had_tsig:
            reply.set_rcode(dns.rcode.REFUSED)
        elif (zone, "SOA") not in self.records:
            reply.set_rcode(dns.rcode.NOTAUTH)
        else:
            for rrset in update.update:
                self._change(rrset)
        return reply.to_wire()

    def _change(self, rrset: dns.rrset.RRset) -> None:
        key = _text(rrset.name), dns.rdatatype.to_text(rrset.rdtype)
        values = self.records.setdefault(key, [])
        for data in rrset:
            text = data.to_text()
            self.updates.append(f"{'-' if rrset.deleting else '+'} {key[0]} {text}")
            if rrset.deleting and text in values:
                values.remove(text)
            elif not rrset.deleting and text not in values:
                values.append(text)
        if not values:
            del self.records[key]


def _refused(wire: bytes) -> bytes:
    reply = dns.message.Message(int.from_bytes(wire[:2], "big"))
    reply.flags |= dns.flags.QR
    reply.set_opcode(dns.opcode.UPDATE)
    reply.set_rcode(dns.rcode.NOTAUTH)
    return reply.to_wire()


def _rrset(name: str, kind: str, values: list[str]) -> dns.rrset.RRset:
    return dns.rrset.from_text(f"{name}.", 0, "IN", kind, *values)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


@contextmanager
def serving(
    *zones: str, addresses: tuple[str, ...] = ("127.0.0.1",), port: int | None = None
) -> Iterator[NameServers]:
    names = NameServers(zones, addresses, port)
    servers: list[socketserver.BaseServer] = []
    for address in addresses:
        servers += [_udp(names, address), _tcp(names, address)]
    threads = [threading.Thread(target=each.serve_forever, args=(0.02,)) for each in servers]
    for thread in threads:
        thread.start()
    try:
        yield names
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()


def _udp(names: NameServers, address: str) -> socketserver.BaseServer:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            wire, connection = self.request
            if answer := names.answer(address, wire):
                connection.sendto(answer, self.client_address)

    return socketserver.UDPServer((address, names.port), Handler)


def _tcp(names: NameServers, address: str) -> socketserver.BaseServer:
    class Handler(socketserver.StreamRequestHandler):
        timeout = 5

        def handle(self) -> None:
            try:
                (length,) = struct.unpack("!H", self.rfile.read(2))
                answer = names.answer(address, self.rfile.read(length))
            except (OSError, struct.error):
                return
            if answer:
                self.wfile.write(struct.pack("!H", len(answer)) + answer)

    return _TcpServer((address, names.port), Handler)


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    """Connections of the test before may linger."""
