"""What processes use: processor time, memory."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil


def family(roots: Iterable[int]) -> list[psutil.Process]:
    """With all descendants."""
    found: dict[int, psutil.Process] = {}
    for root in roots:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(root)
            found |= {each.pid: each for each in (process, *process.children(recursive=True))}
    return list(found.values())


def alone(pids: Iterable[int]) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in pids]


def processor_seconds(counted: Iterable[psutil.Process]) -> float:
    """User and system time of those that run, to 10 ms."""
    total = 0.0
    for process in counted:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def memory(counted: Iterable[psutil.Process]) -> dict[str, float]:
    """Megabytes: `rss_mb` counts a page that is shared in each process, `pss_mb` by its share."""
    total = {"rss_mb": 0.0, "pss_mb": 0.0}
    for process in counted:
        with suppress(OSError):
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
            sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
            total["rss_mb"] += sizes["Rss"] / 1024
            total["pss_mb"] += sizes["Pss"] / 1024
    return total


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL where that is not enough."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(30)
