"""Many WebSockets that say nothing, and some that do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.compare import processes
from bench.compare.bench import Bench
from bench.compare.peers.peer import Peer
from bench.compare.results import Column, Measured, Row

CLIENT = Path(__file__).parents[1] / "programs/websockets.py"
BUSY = 500
OPENED_WITHIN = 120.0


def measure(bench: Bench, measured: Measured) -> None:
    """Once: memory is steady, and opening them takes long."""
    kinds = [kind for kind in bench.kinds if "websocket" in kind.can]
    with bench.place() as place, bench.running(place, kinds) as peers:
        for peer in peers:
            if peer.proxy():
                _measure(bench, measured, peer)


def _measure(bench: Bench, measured: Measured, peer: Peer) -> None:
    count, proxy = bench.effort.websockets, processes.family(peer.proxy())
    before = processes.memory(proxy)["pss_mb"]
    with _client(peer.port, count) as client:
        line = client.stdout.readline()
        if line != "open\n":
            bench.problem(f"{count} WebSockets: {peer.title}: they were not opened")
            return
        held = processes.memory(proxy)["pss_mb"] - before
        used = processes.processor_seconds(proxy)
        seconds = bench.effort.seconds
        client.stdin.write(f"{min(BUSY, count)} {seconds}\n")
        client.stdin.flush()
        answers = json.loads(client.stdout.readline())
        used = processes.processor_seconds(proxy) - used
    measured(
        f"{count} idle",
        peer.name,
        0,
        kib=1024 * held / count,
        message_us=1e6 * used / max(1, answers["messages"]),
        p50_ms=answers["p50_ms"],
        p99_ms=answers["p99_ms"],
    )


@contextmanager
def _client(port: int, count: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, CLIENT, str(port), str(count)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        try:
            yield client
        finally:
            client.kill()


ROW = Row(
    "websockets",
    "WebSockets",
    f"Opened through each peer and left idle, then {BUSY} of them send a message ten times a "
    "second. Memory is that of the proxy (PSS) above what it was before, for each connection of "
    "a client, the connection to the program and the buffers of TLS included. Measured once.",
    measure,
    (
        Column("kib", "memory a connection, KiB", 1),
        Column("message_us", "processor time of the proxy a message, µs"),
        Column("p50_ms", "p50 ms", 1),
        Column("p99_ms", "p99 ms", 1),
    ),
)
