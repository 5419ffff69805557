"""Processes that were started for an instance and are on no record: a daemon died in between.

They are known by what they were told when they were started, which is theirs to read in /proc. A
program that writes over its environment (setproctitle does) can hide from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from portico.adapters.processes.proc import TICKS_PER_SECOND, Table, inherited_environment
from portico.core.model.instance import Process
from portico.core.model.names import InstanceId

LOGS: Final = "PORTICO_LOGS"
"""Environment variable of instances, and of no check: the log folder of who started it. Several
homes of one machine have instances of the same name."""
ROUNDING: Final = 0.05  # seconds; start times are told in ticks


def mark(logs: Path) -> dict[str, str]:
    return {LOGS: str(logs.resolve())}


def find(since: Mapping[InstanceId, float], logs: Path) -> dict[InstanceId, Process]:
    """Of each instance the process that was started first since that moment, if it runs.

    Others of the same mark are what an instance has started itself, in sessions of their own.
    """
    ours = f"{LOGS}={mark(logs)[LOGS]}".encode()
    names = {f"PORTICO_INSTANCE={instance}".encode(): instance for instance in since}
    found: dict[InstanceId, Process] = {}
    for leader in sorted(Table().leaders(), key=lambda each: each.started):
        environment = inherited_environment(leader.pid)
        if ours not in environment:
            continue
        for name in environment & names.keys():
            if leader.started / TICKS_PER_SECOND + ROUNDING >= since[names[name]]:
                found.setdefault(names[name], Process(leader.pid, leader.started))
    return found
