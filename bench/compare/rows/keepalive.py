"""HTTPS on connections that are kept: the same requests to every peer."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from bench.compare import loads, processes
from bench.compare.bench import Bench
from bench.compare.peers.peer import Peer
from bench.compare.results import Column, Measured, Row, rotated

FEW = 64
HANDSHAKES_PER_SECOND = 100
"""What two cores do at least, for both sides."""
MIN_REQUESTS = 50
"""Fewer are no measurement: the load or the programs had no processor."""
ONLY_MAIN = frozenset({"haproxy-no-log", "hand-made-rr", "pm2-cluster"})
"""Peers that differ from another one in what the first case shows."""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    path: str = "/"
    needs: str = ""
    """What a peer has to be able to do."""
    http2: bool = False
    body: int = 0
    crowd: bool = False
    """With many connections."""


MAIN = Case("tiny answer")
CASES = (
    MAIN,
    Case("tiny, HTTP/2", needs="h2", http2=True),
    Case("tiny, constant backend", "/constant", needs="constant"),
    Case("16 KiB", "/16k"),
    Case("1 MiB", "/1m"),
    Case("POST 64 KiB", body=64 << 10),
    Case("static 16 KiB", "/static/16k.bin", needs="static"),
    Case("tiny, many connections", crowd=True),
)


def measure(bench: Bench, measured: Measured) -> None:
    with bench.place() as place, bench.running(place, bench.kinds) as peers:
        for number in range(bench.effort.rounds):
            for peer in rotated(peers, number):
                _measure(bench, measured, MAIN, peer, number)
        for number in range(bench.effort.others):
            for case in CASES[1:]:
                if case.crowd and number:
                    continue  # once: it takes as long as all others
                for peer in rotated(peers, number):
                    if _does(peer, case):
                        _measure(bench, measured, case, peer, number)


def _does(peer: Peer, case: Case) -> bool:
    return peer.name not in ONLY_MAIN and (not case.needs or case.needs in peer.can)


def _measure(bench: Bench, measured: Measured, case: Case, peer: Peer, number: int) -> None:
    effort = bench.effort
    seconds = effort.seconds if case is MAIN else effort.moment
    load = loads.http2 if case.http2 else loads.http1
    connections = effort.crowd if case.crowd else FEW
    if case.crowd:  # the handshakes come first
        seconds += connections / HANDSHAKES_PER_SECOND
    url = loads.url(peer.port, case.path, "https" if peer.tls else "http")
    proxy, control = processes.family(peer.proxy()), processes.alone(peer.control())
    before = [processes.processor_seconds(each) for each in (proxy, control)]
    try:
        answers = load(bench.programs, url, connections, seconds, case.body)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        bench.problem(f"{case.name}: {peer.title}: {error}")
        return
    after = [processes.processor_seconds(each) for each in (proxy, control)]
    requests = answers["requests"]
    if requests < MIN_REQUESTS:
        bench.problem(f"{case.name}: {peer.title}: only {requests:.0f} requests")
        return
    used = [1e6 * (now - then) / requests for now, then in zip(after, before, strict=True)]
    values = {key: answers[key] for key in ("failed", "p50_ms", "p99_ms", "p999_ms")}
    values |= {"proxy_us": used[0]} if proxy else {}
    values |= {"control_us": used[1]} if control else {}
    measured(case.name, peer.name, number, rps=requests / answers["seconds"], **values)


ROW = Row(
    "keepalive",
    "HTTPS on connections that are kept",
    "Four Node programs behind each peer, 64 requests in flight, HTTP/1.1 unless a case says "
    "HTTP/2. The processor time is that of the proxy's processes alone, handshakes of its "
    "connections and its log included; it is the steadiest figure on a machine where load, proxy "
    "and programs share the cores. The constant backend is an nginx that answers at once. "
    "Latencies are those of a load that sends the next request when one is answered.",
    measure,
    (
        Column("proxy_us", "processor time of the proxy a request, µs"),
        Column("rps", "requests/s"),
        Column("p50_ms", "p50 ms", 1),
        Column("p99_ms", "p99 ms", 1),
        Column("p999_ms", "p99.9 ms", 1),
        Column("control_us", "of its supervisor, µs", 1),
        Column("failed", "failed"),
    ),
    full=(MAIN.name,),
    matrices=("proxy_us", "rps", "p99_ms"),
)
