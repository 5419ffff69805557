"""The machine of a run, and what other work it had. Never names of hosts, users or paths."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

WATCHED = 2.0
"""Seconds for which the machine is observed before and after a run."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """The machine's time since its start, in ticks, over all cores."""

    total: int
    idle: int
    steal: int

    @classmethod
    def now(cls) -> Ticks:
        fields = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        user, nice, system, idle, iowait, irq, softirq, steal = fields[:8]
        total = user + nice + system + idle + iowait + irq + softirq + steal
        return cls(total, idle + iowait, steal)

    def steal_since(self, before: Ticks) -> float:
        return (self.steal - before.steal) / max(1, self.total - before.total)

    def busy_since(self, before: Ticks) -> float:
        """Share of all cores in use, by others of the host too."""
        return 1 - (self.idle - before.idle) / max(1, self.total - before.total)


def busy() -> float:
    """Share of the processors that other work uses, while nothing of a run is started."""
    before = Ticks.now()
    time.sleep(WATCHED)
    return Ticks.now().busy_since(before)


def described() -> dict[str, str]:
    cpu = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in cpu if "model name" in line), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "Python": platform.python_version(),
    }
