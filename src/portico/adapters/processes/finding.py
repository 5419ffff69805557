"""Which processes are an instance's: what it started, and what those started.

Most are known by descent: they are in its session, or have a parent that is. Where the parent has
ended, they are known by the instance's control group, or by variables that they were started with,
from /proc. Any program can set these, so they count only for processes of the user that the
instance runs as.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.adapters.processes.groups import members
from portico.adapters.processes.table import Table
from portico.adapters.processes.turns import one_at_a_time
from portico.core.model.instance import Process
from portico.core.model.launch import Launch
from portico.core.model.names import InstanceId, label_of
from portico.core.planning.environment import INSTANCE, LOGS
from portico.system.account import account_of
from portico.system.proc import TICKS_PER_SECOND, Stat, inherited_environment, user_of

ROUNDING: Final = 0.05  # seconds; start times are told in ticks
_MARK_VARIABLES: Final = re.compile(rb"(?:^|\0)(PORTICO_INSTANCE|PORTICO_LOGS)=([^\0]*)")


@dataclass(frozen=True, slots=True)
class Mark:
    """What all processes of an instance have, whoever their parents are."""

    instance: InstanceId
    logs: str
    uid: int
    """-1 where there is no such user any more."""
    group: Path | None = None
    """Folder of its control group, there or not."""

    @classmethod
    def of(cls, launch: Launch, logs: Path, groups: Path | None) -> Mark:
        """`groups` is the folder of all control groups."""
        app = launch.spec.app
        try:
            uid = account_of(app.user, app.group).uid
        except ValueError:
            uid = -1
        folder = groups / label_of(launch.instance) if groups else None
        return cls(launch.instance, mark(logs)[LOGS], os.geteuid() if uid is None else uid, folder)

    @property
    def members(self) -> set[int]:
        return members(self.group) if self.group else set()


def mark(logs: Path) -> dict[str, str]:
    return {LOGS: str(logs.resolve())}


def families(
    table: Table, wanted: Mapping[Process, Mark], others: Iterable[Process] = ()
) -> dict[Process, list[Stat]]:
    """All processes of these instances; the leaders may have ended.

    `others` lead sessions of other instances: what is in these is not looked into.
    """
    found = descendants(table, wanted)
    sessions = (table.session(leader) for leader in others)
    known = {each.pid for family in (*found.values(), *sessions) for each in family}
    strays = _find_by_mark(table, wanted.values(), exclude=known)
    for leader, mark in wanted.items():
        if strays[mark]:
            pids = {each.pid for each in (*found[leader], *strays[mark])}
            found[leader] = table.family(leader, pids)
    return found


def descendants(table: Table, wanted: Mapping[Process, Mark]) -> dict[Process, list[Stat]]:
    """Those known by descent or control group; no environment is read."""
    return {leader: table.family(leader, mark.members) for leader, mark in wanted.items()}


def marked_families(table: Table, marks: Iterable[Mark]) -> dict[Mark, list[Stat]]:
    """All processes of instances that have no process on record."""
    return {
        mark: table.family(None, {each.pid for each in found} | mark.members)
        for mark, found in _find_by_mark(table, marks).items()
    }


@one_at_a_time
def find(since: Mapping[Mark, float]) -> dict[InstanceId, Process]:
    """Of each instance the process that was started first since that moment, if it runs.

    Others of the same mark are what an instance has started itself, in sessions of their own.
    """
    found: dict[InstanceId, Process] = {}
    for each, all_marked in _find_by_mark(Table(), since).items():
        leaders = [p for p in all_marked if p.session == p.pid and not p.ended]
        for leader in sorted(leaders, key=lambda p: p.started):
            if leader.started / TICKS_PER_SECOND + ROUNDING >= since[each]:
                found.setdefault(each.instance, Process(leader.pid, leader.started))
    return found


def is_marked(pid: int) -> bool:
    """Whether it was started for some instance, or says so."""
    return len(_mark_variables(pid)) == len((INSTANCE, LOGS))


def _find_by_mark(
    table: Table, marks: Iterable[Mark], exclude: Collection[int] = ()
) -> dict[Mark, list[Stat]]:
    found: dict[Mark, list[Stat]] = {mark: [] for mark in marks}
    known = {(str(mark.instance), mark.logs): mark for mark in found}
    for each in (each for each in table.all() if each.pid not in exclude):
        variables = _mark_variables(each.pid)
        mark = known.get((variables.get(INSTANCE, ""), variables.get(LOGS, "")))
        if mark is not None and user_of(each.pid) == mark.uid:
            found[mark].append(each)
    return found


def _mark_variables(pid: int) -> dict[str, str]:
    environment = inherited_environment(pid)
    if b"PORTICO_LOGS=" not in environment:
        return {}
    return {
        name.decode(): os.fsdecode(value) for name, value in _MARK_VARIABLES.findall(environment)
    }
