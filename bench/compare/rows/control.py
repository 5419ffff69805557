"""The supervisors: start, crash, status, memory."""

from __future__ import annotations

import os
import signal
import statistics
import time

from bench.compare import processes
from bench.compare.bench import Bench
from bench.compare.results import Column, Measured, Row, rotated
from bench.compare.supervisors import (
    NODE_UP_TO,
    SUPERVISORS,
    PorticoAlone,
    Supervisor,
    are_replaced,
    own_start,
    running,
)
from tests.waiting import eventually

IDLE = 5.0
"""Seconds for which an idle supervisor is observed."""
SETTLED = 2.0
ASKED = 5
"""How often status is asked."""
CRASHES = 3


def measure(bench: Bench, measured: Measured) -> None:
    for count in bench.effort.instances:
        rounds = bench.effort.others if count < NODE_UP_TO else 1
        for number in range(rounds):
            for kind in rotated(SUPERVISORS, number):
                with running(kind, bench.programs, bench.folder) as supervisor:
                    _measure(bench, measured, supervisor, count, number)
    if bench.effort.many:
        with running(PorticoAlone, bench.programs, bench.folder) as supervisor:
            _measure(bench, measured, supervisor, bench.effort.many, 0)


def _measure(
    bench: Bench, measured: Measured, supervisor: Supervisor, count: int, number: int
) -> None:
    begun = time.monotonic()
    supervisor.up(count)
    values = {"up_s": time.monotonic() - begun}
    time.sleep(SETTLED)
    daemon = processes.alone([supervisor.daemon()])
    used, begun = processes.processor_seconds(daemon), time.monotonic()
    time.sleep(IDLE)
    used = processes.processor_seconds(daemon) - used
    values["idle_percent"] = 100 * used / (time.monotonic() - begun)
    values |= processes.memory(daemon)
    values["status_ms"] = 1000 * statistics.median(_status(supervisor) for _ in range(ASKED))
    if count <= NODE_UP_TO:
        own = statistics.median(own_start(bench.programs) for _ in range(CRASHES))
        back = statistics.median(_crash(supervisor, count) for _ in range(CRASHES))
        values["crash_ms"] = 1000 * (back - own)
    measured(str(count), supervisor.name, number, **values)


def _status(supervisor: Supervisor) -> float:
    begun = time.monotonic()
    supervisor.status()
    return time.monotonic() - begun


def _crash(supervisor: Supervisor, count: int) -> float:
    """Seconds from SIGKILL of an instance until as many are ready as before."""
    eventually(lambda: len(supervisor.pids()) == count)
    time.sleep(1)  # an instance that has just started counts as one that does not start
    victim = supervisor.pids()[0]
    begun = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: are_replaced(supervisor, count, {victim}), every=0.002)
    return time.monotonic() - begun


ROW = Row(
    "control",
    "The supervisor",
    f"Portico and PM2 with the same programs: up to {NODE_UP_TO} Node, above that one of 2 MB "
    "that only listens. `up` is from no daemon until all listen; for Node programs Portico's "
    "includes nginx, a local certificate authority and the first answer over HTTPS, PM2's only "
    "the programs. A crash is SIGKILL of one instance, until its successor is ready, less the "
    "time that the program itself takes to listen. Memory and processor time are those of the "
    "daemon alone; Portico's checks each Node instance over HTTP every 5 seconds, PM2 has no "
    "checks.",
    measure,
    (
        Column("rss_mb", "memory (RSS), MB", 1),
        Column("pss_mb", "memory (PSS), MB", 1),
        Column("up_s", "up to first answer, s", 2),
        Column("status_ms", "`portico status`, `pm2 ls`, ms"),
        Column("crash_ms", "crash to ready, ms"),
        Column("idle_percent", "idle, % of a core", 2),
    ),
)
