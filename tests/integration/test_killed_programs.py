"""Programs that are killed at their deadline are over then, whoever holds their pipes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from portico.adapters.certificates.running import run
from portico.adapters.hooks.runner import HookRunner
from portico.errors import Failed
from portico.system.programs import Program, running, start_here

FLOODS = (sys.executable, "-c", "while True: print('x' * 65536)")
LEAVES = (
    sys.executable,
    "-c",
    """
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(600)
""",
)


@pytest.fixture
def told(tmp_path):
    """Where the pid of a process that has left its family is written; ended at the end."""
    path = tmp_path / "pid"
    yield str(path)
    if path.exists():
        os.kill(int(path.read_text()), signal.SIGKILL)


def within(seconds, work):
    async def scenario():
        async with asyncio.timeout(seconds):
            return await work

    return asyncio.run(scenario())


def test_a_program_whose_output_nobody_reads_is_ended():
    async def scenario():
        async with running(start_here, Program(FLOODS), limit=1024) as process:
            assert process.stdout
            await process.stdout.read(1)  # more has come than is taken unread: no more is read
        return await process.wait()

    assert within(60, scenario()) == -signal.SIGKILL


@pytest.mark.parametrize("command", [FLOODS, LEAVES])
def test_a_tool_that_takes_too_long_is_over_at_its_deadline(command, told):
    with pytest.raises(Failed, match="timed out after 1 s"):
        within(60, run((*command, told), 1))


@pytest.mark.parametrize("command", [FLOODS, LEAVES])
def test_a_hook_that_takes_too_long_is_over_at_its_deadline(command, told):
    said = within(60, HookRunner().run((*command, told), {}, 1))
    assert said is not None
    assert said.endswith("timed out after 1 s and was killed")
