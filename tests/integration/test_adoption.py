"""Instances outlive the daemon that started them, and a new one takes them over."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from portico.adapters.processes.groups import folder_for, remove_empty_groups
from portico.core.model.instance import Exit, Process
from portico.system.proc import stat
from tests.instances import Exits, is_dead, launch, python, supervised, until

FIRST_DAEMON = """
import asyncio, json, os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from portico.adapters.processes.supervisor import LinuxProcesses
from portico.system.clock import SystemClock
from tests.instances import launch

async def main():
    folder = Path(sys.argv[2])
    processes = LinuxProcesses(folder / "logs", SystemClock())
    asked = launch(folder, command=tuple(json.loads(sys.argv[3])))
    process = await processes.spawn(asked, print)
    print(json.dumps([process.pid, process.started]), flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


@pytest.fixture
def orphan(tmp_path):
    """Start family.py from a process that is killed at once, and wait for its last word."""

    def start(manner: str) -> Process:
        told = tmp_path / "told"
        told.touch()
        root = str(Path(__file__).parents[2])
        command = json.dumps(python("family.py", told, manner))
        daemon = subprocess.run(
            (sys.executable, "-c", FIRST_DAEMON, root, str(tmp_path), command),
            stdout=subprocess.PIPE,
            check=False,
            timeout=60,
        )
        assert daemon.returncode == -signal.SIGKILL
        return Process(*json.loads(daemon.stdout))

    yield start
    end(family(tmp_path))
    if groups := folder_for(os.getpid(), tmp_path / "logs"):
        remove_empty_groups(groups)


def asked(folder):
    """What FIRST_DAEMON has started, as far as it matters: the instance, and its user."""
    return launch(folder, command=("true",))


def end(pids):
    for pid in pids:
        if not is_dead(pid):
            os.kill(pid, signal.SIGKILL)
    asyncio.run(until(lambda: all(map(is_dead, pids))))


def family(folder):
    lines = [line.split() for line in (folder / "told").read_text().splitlines()]
    return [int(words[1]) for words in lines if len(words) == 2]


def test_a_new_daemon_watches_and_stops_what_an_old_one_started(tmp_path, orphan):
    process = orphan("stays")

    async def scenario():
        await until(lambda: len(family(tmp_path)) == 3)
        async with supervised(tmp_path) as processes:
            exits = Exits()
            assert await processes.adopt(asked(tmp_path), process, exits)
            await processes.measure()
            assert processes.usage(process)[0] > 0
            processes.signal(process, "SIGKILL")
            assert await exits.first() == Exit()  # how it ended only its parent may know
            assert len(exits.all) == 1

    asyncio.run(scenario())
    assert all(map(is_dead, family(tmp_path)))


def test_a_number_that_was_given_to_another_process_is_not_adopted_or_signalled(tmp_path, orphan):
    process = orphan("stays")
    mistaken = Process(process.pid, process.started - 1)

    async def scenario():
        await until(lambda: len(family(tmp_path)) == 3)
        async with supervised(tmp_path) as processes:
            assert not await processes.adopt(asked(tmp_path), mistaken, Exits())
            processes.signal(mistaken, "SIGKILL")
            await asyncio.sleep(0.2)

    asyncio.run(scenario())
    assert stat(process.pid).started == process.started
    assert not any(map(is_dead, family(tmp_path)))


def test_what_a_program_left_behind_while_nobody_watched_is_ended(tmp_path, orphan):
    process = orphan("dies")

    async def scenario():
        await until(lambda: len(family(tmp_path)) == 3 and is_dead(process.pid))
        assert sum(map(is_dead, family(tmp_path))) == 1
        async with supervised(tmp_path) as processes:
            exits = Exits()
            assert not await processes.adopt(asked(tmp_path), process, exits)
            await processes.end_orphans([(asked(tmp_path), None)])
            await until(lambda: all(map(is_dead, family(tmp_path))))
            assert exits.all == []

    asyncio.run(scenario())


def test_a_strangers_session_of_the_same_number_is_left_alone(tmp_path):
    """After a boot anybody's session can have the number that an instance had."""
    told = tmp_path / "told"
    told.touch()
    stranger = subprocess.Popen(python("family.py", told, "dies"), start_new_session=True)
    process = Process(stranger.pid, stat(stranger.pid).started)

    async def scenario():
        await until(lambda: len(family(tmp_path)) == 3 and stranger.poll() is not None)
        async with supervised(tmp_path) as processes:
            assert not await processes.adopt(asked(tmp_path), process, Exits())
            await processes.end_orphans([(asked(tmp_path), None)])

    try:
        asyncio.run(scenario())
        assert sum(map(is_dead, family(tmp_path))) == 1
    finally:
        end(family(tmp_path))
