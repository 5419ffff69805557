"""All four programs are replaced under load, by what each peer has for that."""

from __future__ import annotations

import time

from bench.compare import loads
from bench.compare.bench import Bench
from bench.compare.peers.peer import Peer
from bench.compare.results import Column, Measured, Row, rotated

PEERS = (
    "portico-o2",
    "portico",
    "nginx-debian",
    "haproxy",
    "traefik",
    "caddy",
    "hand-made",
    "pm2-cluster",
)
RATE = 300
REST = 5.0
"""Seconds of load before the deploy, whose p99 is what the deploy is compared with."""
TAKES_EFFECT = 2.5
"""Seconds from a new configuration to the end of the old programs: Traefik reads its file late."""
AFTER = 2.5
CASE = "deploy"


def measure(bench: Bench, measured: Measured) -> None:
    kinds = [kind for kind in bench.kinds if kind.name in PEERS]
    with bench.place() as place, bench.running(place, kinds, own_programs=True) as peers:
        for number in range(bench.effort.others):
            for peer in rotated(peers, number):
                _deploy(measured, peer, number)


def _deploy(measured: Measured, peer: Peer, number: int) -> None:
    authority = peer.place.certificates.authority
    with loads.steady(peer.port, authority, RATE) as load:
        time.sleep(REST)
        rest = load.stop()
    with loads.steady(peer.port, authority, RATE) as load:
        time.sleep(0.5)
        begun = time.monotonic()
        _replace(peer)
        seconds = time.monotonic() - begun
        time.sleep(AFTER)
        during = load.stop()
    measured(
        CASE,
        peer.name,
        number,
        lost=during.lost,
        requests=during.sent.total(),
        p99_ms=during.p99_ms,
        rest_p99_ms=rest.p99_ms,
        p99_ratio=during.p99_ms / max(rest.p99_ms, 0.1),
        worst_ms=during.worst_ms,
        gap_s=during.longest_gap_s,
        seconds=seconds,
    )


def _replace(peer: Peer) -> None:
    """A supervisor replaces its own programs; for the others new ones are started, the peer is
    given their addresses, and the old ones end.
    """
    if peer.supervises:
        peer.switch()
        return
    peer.place.backends.start()
    peer.switch()
    time.sleep(TAKES_EFFECT)
    peer.place.backends.end_oldest()


ROW = Row(
    "deploys",
    "A deploy under load",
    "All four programs are replaced while 300 requests a second arrive: with `portico reload`, "
    "`pm2 reload all`, and for the others a script that starts four new programs, gives the peer "
    "their addresses by its own means (`nginx -s reload`, HAProxy's runtime API, `caddy reload`, "
    "Traefik's file provider), and sends the old ones SIGTERM 2.5 seconds later. The programs "
    "finish their requests on SIGTERM. The duration of the script is mostly that pause, and is "
    "not comparable. Clients do not repeat requests.",
    measure,
    (
        Column("p99_ms", "p99 ms", 1),
        Column("lost", "lost"),
        Column("requests", "requests"),
        Column("rest_p99_ms", "p99 at rest, ms", 1),
        Column("p99_ratio", "p99 against rest", 2),
        Column("worst_ms", "worst ms"),
        Column("gap_s", "longest gap, s", 2),
        Column("seconds", "duration, s", 1),
    ),
    full=(CASE,),
)
