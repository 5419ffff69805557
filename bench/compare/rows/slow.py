"""One instance of four is slow, or fails one request in ten: what each method makes of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.compare import loads
from bench.compare.bench import Bench
from bench.compare.certificates import MORE, NAME
from bench.compare.peers.caddy import Caddy
from bench.compare.peers.haproxy import HaproxyLog
from bench.compare.peers.nginx import NginxDebian
from bench.compare.peers.peer import INSTANCES, Peer, Place
from bench.compare.peers.portico import Portico, app
from bench.compare.peers.traefik import Traefik
from bench.compare.results import Column, Measured, Row

RATE = 300
SLOW_MS = 200
SLOW, FAILING = "one slow of four", "one failing of four"
ENVIRON = {SLOW: {"SLOW_1": str(SLOW_MS)}, FAILING: {"FAIL_1": "10"}}
METHODS = (
    "round_robin",
    "least_conn",
    "random two least_conn",
    "least_time header",
    "least_time last_byte",
)
OTHERS: tuple[tuple[type[Peer], dict[str, str]], ...] = (
    (HaproxyLog, {"balance": "roundrobin"}),
    (HaproxyLog, {"balance": "leastconn"}),
    (Caddy, {"balance": "round_robin"}),
    (Caddy, {"balance": "least_conn"}),
    (Traefik, {"strategy": "wrr"}),
    (Traefik, {"strategy": "p2c"}),
    (NginxDebian, {}),
)
"""Peers with a method each."""
SITE = """
[sites."{name}"]
app = "{app}"
certificate = "{certificates}/ecdsa.pem"
key = "{certificates}/ecdsa.key"
"""


@dataclass(frozen=True, slots=True)
class Target:
    title: str
    port: int
    host: str = NAME


def measure(bench: Bench, measured: Measured) -> None:
    for case, environ in ENVIRON.items():
        with bench.place(**environ) as place, _targets(bench, place, environ) as targets:
            for target in targets:
                _measure(bench, place, measured, case, target)


def _measure(bench: Bench, place: Place, measured: Measured, case: str, target: Target) -> None:
    authority = place.certificates.authority
    with loads.steady(target.port, authority, RATE, target.host) as load:
        time.sleep(bench.effort.seconds)
        report = load.stop()
    measured(
        case,
        target.title,
        0,
        p50_ms=report.p50_ms,
        p99_ms=report.p99_ms,
        failed_percent=100 * report.lost / max(1, report.sent.total()),
    )


@contextmanager
def _targets(bench: Bench, place: Place, environ: dict[str, str]) -> Iterator[list[Target]]:
    """A Portico with an app and a site for each method, and the others."""
    kinds: list[type[Peer]] = [_portico(environ)]
    names = {each.name for each in bench.kinds}
    kinds += [_with(kind, words) for kind, words in OTHERS if kind.name in names]
    with bench.running(place, kinds) as peers:
        yield [
            *(
                Target(f"Portico, {method}", peer.port, MORE.format(f"m{n}"))
                for peer in peers
                if peer.name == "portico"
                for n, method in enumerate(METHODS)
            ),
            *(Target(peer.title, peer.port) for peer in peers if peer.name != "portico"),
        ]


def _with(kind: type[Peer], words: dict[str, str]) -> type[Peer]:
    method = next(iter(words.values()), "round robin")
    title = f"{kind.title.split(',')[0]}, {method}"
    name = f"{kind.name}-{method}".replace(" ", "-")  # of its folder; nginx's file has it too
    return type(kind.__name__, (kind,), {**words, "name": name, "title": title})


def _portico(environ: dict[str, str]) -> type[Peer]:
    class AllMethods(Portico):
        def text(self) -> str:
            folder = self.place.certificates.folder
            tables = [app("web", 1), SITE.format(name=NAME, app="web", certificates=folder)]
            for n, method in enumerate(METHODS):
                tables.append(app(f"m{n}", INSTANCES, environ, balance=method))
                site = MORE.format(f"m{n}")
                tables.append(SITE.format(name=site, app=f"m{n}", certificates=folder))
            return "".join(tables)

    return AllMethods


ROW = Row(
    "slow",
    "One bad instance among four",
    f"300 requests a second; of four instances one takes {SLOW_MS} ms longer, or answers one "
    "request in ten with 503. No health check takes it out: a check that passes says nothing "
    "about this. With `round_robin` a quarter of the requests is slow; a method that looks at "
    "connections or response times sends fewer there. Measured once.",
    measure,
    (
        Column("p99_ms", "p99 ms", 1),
        Column("p50_ms", "p50 ms", 1),
        Column("failed_percent", "failed %", 2),
    ),
    full=(SLOW, FAILING),
)
