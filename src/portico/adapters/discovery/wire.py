"""DNS messages as octets (RFC 1035): a question of nginx in, the answer out."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final

from portico.core.planning.discovery import Answer, Peer, Verdict, Zone

MAX_UDP_SIZE: Final = 4096  # what nginx's resolver reads; it does not announce it (no EDNS)
MIN_UDP_SIZE: Final = 512
MAX_NAME_SIZE: Final = 255
MAX_LABEL_SIZE: Final = 63
SRV_RECORD_SIZE: Final = 20
"""Octets around a target's text: 12 of every record, 6 of numbers, 2 of it."""
SLOT_TTL: Final = 3600  # a slot's address stays; only SRV answers change

_HEADER: Final = struct.Struct("!6H")
_QUESTION: Final = struct.Struct("!2H")
_RECORD: Final = struct.Struct("!3HIH")
_OPTIONS: Final = struct.Struct("!B2HIH")
_NUMBERS: Final = struct.Struct("!3H")
_NAME_OF_QUESTION: Final = 0xC000 | _HEADER.size
"""A pointer to where the question's name begins (RFC 1035 4.1.4)."""
_QR, _OPCODE, _AA, _TC, _RD = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100
_IN, _A, _AAAA, _SRV, _OPT = 1, 1, 28, 33, 41
_KINDS: Final = {_A: "A", _AAAA: "AAAA", _SRV: "SRV"}


@dataclass(frozen=True, slots=True)
class Reply:
    octets: bytes
    app: str | None
    """Set if this tells nginx where the app is."""
    truncated: bool
    waits_for: str | None = None
    held: str | None = None
    """Both as in `Answer`."""


@dataclass(frozen=True, slots=True)
class _Query:
    id: int
    flags: int
    question: bytes
    """As it came: it is repeated in the answer."""
    name: str
    kind: str
    is_internet: bool
    udp_size: int | None
    """What was announced (RFC 6891 6.2.3); None without EDNS."""


def reply_to(query: bytes, zone: Zone, *, tcp: bool) -> Reply | None:
    """Answer a question; None for what is no question, to which silence is the answer."""
    asked = _read(query)
    if asked is None:
        return None
    answer = zone.answer(asked.name, asked.kind) if asked.is_internet else Answer(Verdict.NOT_OURS)
    if not tcp and _size(query, answer) > _udp_size(asked):
        return Reply(_message(asked, answer, _TC, ()), answer.app, truncated=True)
    wire = _message(asked, answer, 0, tuple(_records(answer)))
    return Reply(wire, answer.app, truncated=False, waits_for=answer.waits_for, held=answer.held)


def _read(query: bytes) -> _Query | None:
    try:
        number, flags, questions, answers, authorities, _ = _HEADER.unpack_from(query)
        labels, end = _labels(query)
        kind, of_class = _QUESTION.unpack_from(query, end)
    except (struct.error, ValueError):
        return None
    if flags & (_QR | _OPCODE) or questions != 1:
        return None
    end += _QUESTION.size
    return _Query(
        number,
        flags,
        query[_HEADER.size : end],
        _name(labels),
        _KINDS.get(kind, "other"),
        of_class == _IN,
        None if answers or authorities else _announced_size(query[end:]),
    )


def _labels(query: bytes) -> tuple[list[bytes], int]:
    """Those of the question's name, and where it ends. Raises ValueError."""
    labels, at = [], _HEADER.size
    while at < len(query) and (size := query[at]):
        if size > MAX_LABEL_SIZE:
            raise ValueError("a pointer, before which there is no name")
        labels.append(query[at + 1 : at + 1 + size])
        at += 1 + size
    if at >= min(len(query), _HEADER.size + MAX_NAME_SIZE):
        raise ValueError("a name without an end")
    return labels, at + 1


def _name(labels: list[bytes]) -> str:
    """A dot within a label is no border: such a name is none of ours."""
    return "" if any(b"." in label for label in labels) else b".".join(labels).decode("latin-1")


def _announced_size(additional: bytes) -> int | None:
    try:
        root, kind, size, _, _ = _OPTIONS.unpack_from(additional)
    except struct.error:
        return None
    return size if (root, kind) == (0, _OPT) else None


def _udp_size(asked: _Query) -> int:
    if asked.udp_size is None:
        return MAX_UDP_SIZE
    return max(MIN_UDP_SIZE, min(asked.udp_size, MAX_UDP_SIZE))


def _size(query: bytes, answer: Answer) -> int:
    """Exact for SRV records, whose owner is a pointer and whose target is written out."""
    return len(query) + sum(SRV_RECORD_SIZE + len(peer.target) for peer in answer.peers)


def _message(asked: _Query, answer: Answer, truncated: int, records: tuple[bytes, ...]) -> bytes:
    flags = _QR | _AA | truncated | (asked.flags & _RD) | answer.verdict.value
    options = b"" if asked.udp_size is None else _OPTIONS.pack(0, _OPT, MAX_UDP_SIZE, 0, 0)
    header = _HEADER.pack(asked.id, flags, 1, len(records), 0, bool(options))
    return b"".join((header, asked.question, *records, options))


def _records(answer: Answer) -> Iterator[bytes]:
    if answer.address:
        kind, family = (_AAAA, AF_INET6) if ":" in answer.address else (_A, AF_INET)
        yield _record(kind, SLOT_TTL, inet_pton(family, answer.address))
        return
    for peer in answer.peers:
        yield _record(_SRV, 0, _srv(peer))


def _record(kind: int, ttl: int, content: bytes) -> bytes:
    return _RECORD.pack(_NAME_OF_QUESTION, kind, _IN, ttl, len(content)) + content


def _srv(peer: Peer) -> bytes:
    labels = (bytes((len(label),)) + label for label in peer.target.encode().split(b"."))
    numbers = _NUMBERS.pack(peer.priority, peer.weight, peer.port)
    return numbers + b"".join(labels) + b"\0"
