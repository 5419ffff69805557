"""DNS messages as octets (RFC 1035): a question of nginx in, the answer out."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from portico.core.planning.discovery import Answer, Peer, Zone

MIN_QUERY_SIZE: Final = 17  # a header and a question for the root
NO_QUERY_BITS: Final = 0xF8  # the QR bit and the opcode: all zero in a plain question
MAX_UDP_SIZE: Final = 4096  # what nginx's resolver reads; it does not announce it (no EDNS)
MAX_TCP_SIZE: Final = 65_535
SRV_RECORD_SIZE: Final = 20
"""Octets around a target's text: 12 of every record, 6 of numbers, 2 of it."""
SLOT_TTL: Final = 3600  # a slot's address stays; only SRV answers change


@dataclass(frozen=True, slots=True)
class Reply:
    octets: bytes
    app: str | None
    """Set if this tells nginx where the app is."""
    truncated: bool
    waits_for: str | None = None
    held: str | None = None
    """Both as in `Answer`."""


def reply_to(query: bytes, zone: Zone, *, tcp: bool) -> Reply | None:
    """Answer a question; None for what is no question, to which silence is the answer."""
    if len(query) < MIN_QUERY_SIZE or query[2] & NO_QUERY_BITS:
        return None
    try:
        message = dns.message.from_wire(query)
        (question,) = message.question
        response = dns.message.make_response(message)
    except (dns.exception.DNSException, ValueError):  # ValueError: none, or several questions
        return None
    answer = zone.answer(question.name.to_text(), dns.rdatatype.to_text(question.rdtype))
    response.flags |= dns.flags.AA
    response.set_rcode(dns.rcode.Rcode(answer.verdict.value))
    if not tcp and _size(query, answer) > _udp_size(message):
        response.flags |= dns.flags.TC
        return Reply(response.to_wire(), answer.app, truncated=True)
    response.answer = [_records(question, answer)] if answer.peers or answer.address else []
    wire = response.to_wire(max_size=MAX_TCP_SIZE)
    return Reply(wire, answer.app, truncated=False, waits_for=answer.waits_for, held=answer.held)


def _udp_size(message: dns.message.Message) -> int:
    """RFC 6891 6.2.3 for who announces a size; nginx announces none and reads 4,096 octets."""
    return max(512, min(message.payload, MAX_UDP_SIZE)) if message.edns >= 0 else MAX_UDP_SIZE


def _size(query: bytes, answer: Answer) -> int:
    """Exact for SRV records, whose owner is a pointer and whose target is written out."""
    return len(query) + sum(SRV_RECORD_SIZE + len(peer.target) for peer in answer.peers)


def _records(question: dns.rrset.RRset, answer: Answer) -> dns.rrset.RRset:
    if answer.address:
        kind = "AAAA" if ":" in answer.address else "A"
        return dns.rrset.from_text(question.name, SLOT_TTL, "IN", kind, answer.address)
    return dns.rrset.from_rdata_list(question.name, 0, list(map(_srv, answer.peers)))


def _srv(peer: Peer) -> dns.rdata.GenericRdata:
    """From octets: parsing the text of 300 records takes 30 ms, and everybody else waits."""
    labels = (bytes((len(label),)) + label for label in peer.target.encode().split(b"."))
    numbers = struct.pack("!HHH", peer.priority, peer.weight, peer.port)
    octets = numbers + b"".join(labels) + b"\0"
    return dns.rdata.GenericRdata(dns.rdataclass.IN, dns.rdatatype.SRV, octets)
