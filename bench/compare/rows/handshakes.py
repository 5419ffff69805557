"""New connections: full and resumed handshakes, with ECDSA and RSA certificates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.compare import processes
from bench.compare.bench import Bench
from bench.compare.certificates import NAME, RSA_NAME
from bench.compare.peers.peer import Peer
from bench.compare.results import Column, Measured, Row, rotated
from bench.compare.rows.keepalive import ONLY_MAIN

CLIENT = Path(__file__).parents[1] / "programs/handshakes.py"
CLIENTS = 2
CASES = (
    ("ECDSA, full", NAME, "full"),
    ("ECDSA, resumed", NAME, "resumed"),
    ("RSA, full", RSA_NAME, "full"),
    ("RSA, resumed", RSA_NAME, "resumed"),
)
RSA_ONLY = "rsa-only"
"""Peers whose only certificate is RSA."""


def measure(bench: Bench, measured: Measured) -> None:
    kinds = [
        kind for kind in bench.kinds if kind.can & {"rsa", RSA_ONLY} and kind.name not in ONLY_MAIN
    ]
    with bench.place() as place, bench.running(place, kinds) as peers:
        for number in range(bench.effort.others):
            for case in CASES:
                for peer in rotated(peers, number):
                    _measure(bench, measured, case, peer, number)


def _measure(
    bench: Bench, measured: Measured, case: tuple[str, str, str], peer: Peer, number: int
) -> None:
    title, name, how = case
    if RSA_ONLY in peer.can:
        if name == NAME:
            return
        name = NAME
    seconds, proxy = bench.effort.moment, processes.family(peer.proxy())
    before = processes.processor_seconds(proxy)
    command = [sys.executable, CLIENT, str(peer.port), name, str(seconds), how]
    clients = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(CLIENTS)
    ]
    counted = [client.communicate(timeout=seconds + 30)[0].split() for client in clients]
    used = processes.processor_seconds(proxy) - before
    if not all(counted):
        bench.problem(f"{title}: {peer.title}: a client failed")
        return
    count, reused = (sum(int(each[n]) for each in counted) for n in (0, 1))
    measured(
        title,
        peer.name,
        number,
        proxy_us=1e6 * used / max(1, count),
        rate=count / seconds,
        resumed_percent=100 * reused / max(1, count),
    )


ROW = Row(
    "handshakes",
    "New connections",
    "Two clients open a connection, send one request to the backend that answers at once, and "
    "close it, over and over; TLS 1.3. The clients share the cores and take most of them, so "
    "connections/s is what this machine does and not the limit of a peer; the processor time of "
    "the proxy a connection is what compares. Resumed is the share of connections that took up an"
    " earlier session.",
    measure,
    (
        Column("proxy_us", "processor time of the proxy a connection, µs"),
        Column("rate", "connections/s"),
        Column("resumed_percent", "resumed %"),
    ),
    full=("ECDSA, full",),
    matrices=("proxy_us", "resumed_percent"),
)
