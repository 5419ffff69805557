"""What is read of /proc to see who listens, what is left and who belongs to whom: with a thousand
instances, each of which starts and ends, all of it every time would be most of the daemon's work.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from portico.adapters.processes import groups
from portico.adapters.processes.finding import Mark, families
from portico.adapters.processes.supervisor import LinuxProcesses
from portico.adapters.processes.table import Table
from portico.core.model.instance import Process
from portico.core.model.port_owner import Owner, PortAnswer
from portico.system.proc import stat
from tests.addresses import free_port
from tests.instances import PROGRAMS, Exits, launch, supervised

LISTENS = ("perl", str(PROGRAMS / "listen.pl"))

_opened: list[str] | None = None


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if _opened is not None and event in {"open", "os.listdir", "os.scandir"}:
        _opened.append(str(arguments[0]))


sys.addaudithook(_note)


@contextmanager
def opened() -> Iterator[list[str]]:
    """The paths of all files and folders that this process opens meanwhile."""
    global _opened  # noqa: PLW0603 - an audit hook stays for good, so it has to be told when
    _opened = found = []
    try:
        yield found
    finally:
        _opened = None


def looked_into(paths: list[str], file: str = "") -> set[int]:
    """The processes of which anything, or that file, was read."""
    parts = (path.split("/") for path in paths if path.startswith("/proc/"))
    return {int(p[2]) for p in parts if p[2].isdecimal() and (not file or p[3:] == [file])}


async def first_answer(processes: LinuxProcesses, process: Process, port: int) -> PortAnswer:
    """Who listens, as soon as somebody does."""
    while (found := (await processes.port_answers([(process, port)]))[0]).owner is Owner.NOBODY:
        pass
    return found


def test_of_an_instance_that_listens_itself_no_other_process_is_looked_at(tmp_path):
    port = free_port()

    async def scenario():
        async with supervised(tmp_path) as processes:
            process = await processes.spawn(launch(tmp_path, port=port, command=LISTENS), Exits())
            with opened() as paths:
                assert await first_answer(processes, process, port) == PortAnswer(Owner.ITSELF)
            assert looked_into(paths) == {process.pid}
            with opened() as paths:
                assert await processes.port_answers([(process, port)]) == [
                    PortAnswer(Owner.ITSELF)
                ]
            assert looked_into(paths) == set()

    asyncio.run(scenario())


def test_of_one_whose_child_listens_no_environment_is_read(tmp_path):
    port = free_port()
    shell = ("sh", "-c", f"{' '.join(LISTENS)} & wait")

    async def scenario():
        async with supervised(tmp_path) as processes:
            process = await processes.spawn(launch(tmp_path, port=port, command=shell), Exits())
            with opened() as paths:
                assert await first_answer(processes, process, port) == PortAnswer(Owner.ITSELF)
            assert os.getpid() in looked_into(paths, "stat")
            assert looked_into(paths, "environ") == set()

    asyncio.run(scenario())


def test_what_the_sessions_of_other_instances_hold_is_not_taken_for_what_one_has_left(tmp_path):
    """It is told by its session whose it is, and its environment is not read for it."""
    sleeping = [
        subprocess.Popen(["sleep", "600"], start_new_session=True) for _ in ("ended", "other")
    ]
    try:
        ended, other = [Process(each.pid, stat(each.pid).started) for each in sleeping]
        mark = Mark(launch(tmp_path).instance, str(tmp_path), os.geteuid())
        with opened() as paths:
            found = families(Table(), {ended: mark}, [other])
        assert {each.pid for each in found[ended]} == {ended.pid}
        read = looked_into(paths, "environ")
        assert read.isdisjoint({ended.pid, other.pid})
        assert os.getpid() in read
    finally:
        for each in sleeping:
            each.kill()
            each.wait()


def test_who_is_in_a_group_below_that_of_an_instance_belongs_to_it(tmp_path):
    home = groups.folder_for(os.getpid(), tmp_path)
    if home is None:
        pytest.skip("this machine lets nobody here make a control group")
    mine, below = home / "web.1.1", home / "web.1.1" / "its own"
    programs = [subprocess.Popen(["sleep", "600"]) for _ in range(2)]
    try:
        for program, group in zip(programs, (mine, below), strict=True):
            groups.make(group, program.pid)
        assert groups.members(mine) == {each.pid for each in programs}
        assert groups.members(below) == {programs[1].pid}
    finally:
        for each in programs:
            each.kill()
            each.wait()
        groups.remove(mine)
    assert groups.members(mine) == set()
