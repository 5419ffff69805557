"""The short form of scripts/bench: a ratio that must not get worse. Never a time."""

from __future__ import annotations

import pytest

from bench.compare import processes
from bench.compare.certificates import NAME, Certificates
from bench.compare.installed import Programs
from bench.compare.peers.nginx import NginxWheel
from bench.compare.peers.peer import Backends, Peer, Place
from bench.compare.peers.portico import Portico
from tests.addresses import free_port
from tests.running_load import running_load

ROUNDS = 4
REQUESTS = 1200
"""In each round: so many take ten times as long as the kernel's clock of processes is coarse."""
MAX_RATIO = 1.25
"""Measured on a quiet machine: 1.07 to 1.1."""

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_nginx_of_portico_needs_hardly_more_processor_time_a_request_than_tuned_by_hand(tmp_path):
    tmp_path.chmod(0o755)
    programs, files = Programs(None), tmp_path / "files"
    files.mkdir()
    backends = Backends(programs, tmp_path)
    certificates = Certificates(tmp_path / "certificates")
    place = Place(programs, tmp_path, certificates, backends, [free_port()], files)
    peers: list[Peer] = [Portico(place), NginxWheel(place)]
    try:
        for peer in peers:
            peer.start()
        rounds = [[_round(peer) for peer in peers] for _ in range(ROUNDS)]
    finally:
        for peer in peers:
            peer.stop()
        backends.stop()
    print(rounds)
    ours, theirs = (sum(seconds) for seconds in zip(*rounds, strict=True))
    assert ours / theirs < MAX_RATIO


def _round(peer: Peer) -> float:
    """Processor seconds of the proxy."""
    proxy = processes.family(peer.proxy())
    before = processes.processor_seconds(proxy)
    _load(peer)
    return processes.processor_seconds(proxy) - before


def _load(peer: Peer) -> None:
    authority = str(peer.place.certificates.authority)
    work = {"ca": authority, "requests": REQUESTS, "connections": 8}
    with running_load(f"https://{NAME}:{peer.port}/", work) as load:
        report = load.report()
    assert (report.failed, report.requests) == ({}, REQUESTS)
