"""What discovery answers: the zone portico.internal, as far as nginx asks about it.

    _http._tcp.APP   SRV   one record for each endpoint (RFC 2782), weight and port in it
    SLOT.APP         A     the slot's address; AAAA for one of IPv6
    _http._tcp.far.APP   SRV   one for each other machine of the cluster where it is ready
    MACHINE.far.APP  A     that machine's address; AAAA for one of IPv6
    _http._tcp.machines.APP   SRV   this machine, by the port of no one
    _http._tcp.streams.APP    SRV   other machines and this one
    TIME.wait.APP    A     none, as soon as nginx knows an endpoint of the app
    TIME.SITE._held  A     one that leads nowhere, when requests of the site are not held any more

An app of another project than the first is NAME.PROJECT._project here. An upstream whose servers
are checked is asked about as an app is.

nginx 1.31 does with an answer to its SRV question (measured, `resolver_timeout 1s`):

    records             takes exactly these peers, asks again after the TTL and one second
    none, or NXDOMAIN   removes all peers, and asks again only after 11 seconds
    SERVFAIL, silence   keeps its peers, asks again after max(resolver_timeout, 1s)

So an app that has no endpoint gets one that leads nowhere, which is replaced within a second
when there is a real one again; and an app that nobody has published yet gets SERVFAIL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from portico.core.model.names import (
    DISCOVERY_DOMAIN,
    FAR_LABEL,
    HELD_LABEL,
    MACHINES_LABEL,
    STREAMS_LABEL,
    WAIT_LABEL,
    app_host,
    app_of_host,
    far_host,
    slot_host,
)
from portico.core.model.world import Endpoint, FarEndpoint

MAX_ANSWER_SIZE: Final = 65_000  # of 65,535 octets (RFC 1035 4.2.2), with room for the question
RECORD_OVERHEAD: Final = 20  # name by pointer, type, class, TTL, lengths, three numbers
SERVICE: Final = ("_http", "_tcp")
NOWHERE_LABEL: Final = "_nowhere"  # no machine can be called so
NOWHERE_ADDRESS: Final = "255.255.255.255"  # no TCP connection to it leaves the machine: 502
NOWHERE_PORT: Final = 1
_FAMILIES: Final = ("A", "AAAA")
_MACHINE_LABELS: Final = frozenset({FAR_LABEL, MACHINES_LABEL, STREAMS_LABEL})


Endpoints = tuple[Endpoint, ...]


class Verdict(Enum):
    """The response code (RFC 1035 4.1.1)."""

    YES = 0  # such a name exists; it may have no record of the type asked for
    NOT_YET = 2
    NO_SUCH_NAME = 3
    NOT_OURS = 5


@dataclass(frozen=True, slots=True)
class Peer:
    """One SRV record."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Answer:
    verdict: Verdict
    peers: tuple[Peer, ...] = ()
    address: str | None = None
    app: str | None = None
    """Set in an answer that tells nginx where this app is."""
    waits_for: str | None = None
    """Set in one that is given when nginx knows an endpoint of this app."""
    held: str | None = None
    """Set in one that is given when requests of this site are not held, by its label."""


@dataclass(frozen=True, slots=True)
class Zone:
    """What is known: `apps` has a key for every app that was published."""

    apps: Mapping[str, Endpoints]
    withdrawn: frozenset[str] = frozenset()
    far: Mapping[str, tuple[FarEndpoint, ...]] = field(default_factory=dict)
    """On which other machines those are that were published with any, or with none; with this
    one, for apps whose keys are placed over machines.
    """

    def answer(self, name: str, kind: str) -> Answer:
        """Answer a question for records of `kind` (`SRV`, `A`, ...) of a name, any case."""
        name = name.rstrip(".").lower()
        if name == DISCOVERY_DOMAIN:
            return Answer(Verdict.YES)
        inner = name.removesuffix("." + DISCOVERY_DOMAIN)
        if inner == name:
            return Answer(Verdict.NOT_OURS)
        labels = inner.split(".")
        if labels[1:] and labels[-1] == HELD_LABEL and kind == "A":
            return Answer(Verdict.YES, address=NOWHERE_ADDRESS, held=labels[-2])
        front, app = app_of_host(labels)
        gone = app in self.withdrawn
        if front[1:] == [WAIT_LABEL] and kind == "A" and not gone:
            return Answer(Verdict.NO_SUCH_NAME, waits_for=app)
        is_far = not _MACHINE_LABELS.isdisjoint(front[-1:])
        if app not in (self.far if is_far else self.apps):
            return Answer(Verdict.NO_SUCH_NAME if gone else Verdict.NOT_YET)
        return (
            _machines_answer(tuple(front), app, kind, self.far[app])
            if is_far
            else _answer(tuple(front), app, kind, self.apps[app])
        )


def _answer(front: tuple[str, ...], app: str, kind: str, endpoints: Endpoints) -> Answer:
    if kind == "SRV" and front == SERVICE:
        return Answer(Verdict.YES, _peers(app, endpoints), app=app)
    slots = ((str(each.slot), each.address) for each in endpoints)
    return _address_answer(
        front, kind, lambda slot: next((its for of, its in slots if of == slot), None)
    )


def _machines_answer(
    front: tuple[str, ...], app: str, kind: str, machines: tuple[FarEndpoint, ...]
) -> Answer:
    """No drain waits until nginx has read it: `Answer.app` is not set. The names of the peers are
    the same in all three, and on all machines: a consistent hash places by them.

    Where it is not ready here, one of the other machines is named twice. That changes no place,
    where a name of its own would; and after an answer without one nginx asks again only after 11
    seconds.
    """
    *inner, label = front
    host = far_host(app)
    if label == MACHINES_LABEL:
        machines = tuple(m for m in machines if m.is_own) or machines[:1]
    if kind == "SRV" and tuple(inner) == SERVICE:
        peers = tuple(
            Peer(0, m.weight, port, f"{m.machine}.{host}")
            for m in machines
            if (port := _port_for(label, m))
        )
        return Answer(Verdict.YES, peers or (_absent_peer(host),))
    addresses = {m.machine: m.address for m in machines}
    return _address_answer(tuple(inner), kind, addresses.get)


def _port_for(label: str, machine: FarEndpoint) -> int:
    """0 where it is no peer."""
    if not machine.is_own or label == STREAMS_LABEL:
        return machine.port
    return NOWHERE_PORT if label == MACHINES_LABEL else 0


def _address_answer(
    front: tuple[str, ...], kind: str, address_of: Callable[[str], str | None]
) -> Answer:
    """Of a name directly below the app's."""
    if kind in _FAMILIES and len(front) == 1:
        address = NOWHERE_ADDRESS if front[0] == NOWHERE_LABEL else address_of(front[0])
        is_asked = address is not None and (":" in address) is (kind == "AAAA")
        return Answer(Verdict.YES, address=address if is_asked else None)
    return Answer(Verdict.YES)


def _peers(app: str, endpoints: Endpoints) -> tuple[Peer, ...]:
    if not endpoints:
        return (_absent_peer(app_host(app)),)
    peers = tuple(Peer(int(e.backup), e.weight, e.port, slot_host(app, e.slot)) for e in endpoints)
    most = MAX_ANSWER_SIZE // (RECORD_OVERHEAD + max(len(peer.target) for peer in peers))
    return peers[:most]


def _absent_peer(host: str) -> Peer:
    return Peer(0, 1, NOWHERE_PORT, f"{NOWHERE_LABEL}.{host}")
