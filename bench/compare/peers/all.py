"""Every peer, in the order of the tables."""

from __future__ import annotations

from typing import Final

from bench.compare.installed import Programs
from bench.compare.peers.caddy import Caddy
from bench.compare.peers.haproxy import HaproxyLog, HaproxyQuiet
from bench.compare.peers.nginx import NginxBuilt, NginxDebian, NginxWheel
from bench.compare.peers.node import Direct, OneNode
from bench.compare.peers.peer import Peer
from bench.compare.peers.pm2 import Cluster, HandMade, HandMadeRoundRobin
from bench.compare.peers.portico import Portico, PorticoBuilt
from bench.compare.peers.traefik import Traefik

BUILT: Final = frozenset({PorticoBuilt.name, NginxBuilt.name})
"""Those that need an nginx which the machine may not have."""
PEERS: Final[tuple[type[Peer], ...]] = (
    PorticoBuilt,
    Portico,
    NginxBuilt,
    NginxWheel,
    NginxDebian,
    HaproxyLog,
    HaproxyQuiet,
    Traefik,
    Caddy,
    HandMade,
    HandMadeRoundRobin,
    Cluster,
    OneNode,
    Direct,
)
TITLES: Final = {peer.name: peer.title for peer in PEERS}


def peers_of(programs: Programs) -> list[type[Peer]]:
    return [peer for peer in PEERS if programs.built or peer.name not in BUILT]
