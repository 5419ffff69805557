"""The supervisors after long use: what their memory has grown by."""

from __future__ import annotations

import os
import signal
import time

from bench.compare import processes
from bench.compare.bench import Bench
from bench.compare.results import Column, Measured, Row
from bench.compare.supervisors import SUPERVISORS, Supervisor, are_replaced, running
from tests.waiting import eventually

SETTLED = 2.0
KILLED, REPLACED = 40, 4
"""Instances; each is killed, or replaced, as often as the others."""


def measure(bench: Bench, measured: Measured) -> None:
    for kind in SUPERVISORS:
        with running(kind, bench.programs, bench.folder) as supervisor:
            _restarts(bench, measured, supervisor)
        with running(kind, bench.programs, bench.folder) as supervisor:
            _rollouts(bench, measured, supervisor)


def _restarts(bench: Bench, measured: Measured, supervisor: Supervisor) -> None:
    """All instances are killed at once, again and again."""
    before, done = _begun(supervisor, KILLED), 0
    while done < bench.effort.restarts:
        eventually(lambda: len(supervisor.pids()) == KILLED)
        old = set(supervisor.pids())
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda old=old: are_replaced(supervisor, KILLED, old))
        done += KILLED
    _ended(measured, supervisor, f"{done:,} restarts", before)


def _rollouts(bench: Bench, measured: Measured, supervisor: Supervisor) -> None:
    before = _begun(supervisor, REPLACED)
    for _ in range(bench.effort.rollouts):
        supervisor.replace()
    _ended(measured, supervisor, f"{bench.effort.rollouts:,} rollouts", before)


def _begun(supervisor: Supervisor, count: int) -> dict[str, float]:
    supervisor.up(count, light=True)
    time.sleep(SETTLED)
    return processes.memory(processes.alone([supervisor.daemon()]))


def _ended(
    measured: Measured, supervisor: Supervisor, what: str, before: dict[str, float]
) -> None:
    now = processes.memory(processes.alone([supervisor.daemon()]))
    grown = now["rss_mb"] - before["rss_mb"]
    measured(f"after {what}", supervisor.name, 0, **now, grown_mb=grown)


ROW = Row(
    "endurance",
    "The supervisor after long use",
    f"Portico and PM2 with programs of 2 MB that only listen: {KILLED} are killed at once again "
    f"and again, and {REPLACED} are replaced by a command again and again. Memory is that of the "
    "daemon alone; other work on the machine does not change it. Measured once.",
    measure,
    (
        Column("rss_mb", "memory (RSS), MB", 1),
        Column("pss_mb", "memory (PSS), MB", 1),
        Column("grown_mb", "RSS above before, MB", 1),
    ),
    needs_quiet=False,
)
