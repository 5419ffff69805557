"""What makes things smaller never needs the disk: on one that is full everything can be stopped.

A program writes as fast as it can into its own log and holds the disk full all along, so that
whatever anybody frees is taken at once.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.stack import Stack
from tests.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]

FLOOD = """
[apps.flood]
command = ["sh", "-c", "while :; do head -c 100000 /dev/zero || sleep 0.01; done"]
port = false
instances = 2
"""
SLEEPS = """
[apps.sleeps]
command = "sleep 1000"
port = false
instances = 2
"""


@pytest.fixture
def small(stack: Stack) -> Iterator[Stack]:
    """A home on a disk of 12 MiB."""
    stack.home.mkdir(mode=0o711)
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m,mode=0711", "portico-test", str(stack.home)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    try:
        yield stack
        make_room(stack.home)  # until then a daemon stays: what it has ended is not on disk yet
        stack.portico("down", "--now", seconds=60)
        eventually(lambda: not daemons(stack), within=60)
    finally:
        subprocess.run(["umount", "-l", stack.home], check=True)


def fill(home: Path) -> None:
    with (home / "ballast").open("ab", buffering=0) as file:
        for size in (1 << 16, 4096, 1):
            with suppress(OSError):
                while file.write(b"\0" * size):
                    pass


def make_room(home: Path) -> None:
    for file in (home / "ballast", *(home / "logs" / "apps").glob("*.log*")):
        with suppress(FileNotFoundError):
            file.write_bytes(b"")


def daemons(stack: Stack) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            here = process.cwd() == str(stack.folder)
            if here and "portico.daemon.main" in process.cmdline():
                found.append(process)
    return found


def running(stack: Stack, name: str) -> list[dict]:
    return [i for i in stack.instances(name) if i["pid"]]


def test_everything_can_be_made_smaller_while_a_program_fills_the_disk(small: Stack):
    small.up(FLOOD + SLEEPS)
    fill(small.home)
    small.done("scale", "sleeps", "1")
    assert len(small.instances("sleeps")) == 1
    small.done("stop", "sleeps")
    assert running(small, "sleeps") == []
    small.done("stop", "flood")
    assert running(small, "flood") == []
    small.done("down")
    assert small.status()["apps"] == []


def test_down_ends_all_on_a_full_disk_and_it_stays_so(small: Stack):
    small.up(FLOOD + SLEEPS)
    fill(small.home)
    small.done("down", "--now")
    make_room(small.home)
    assert small.status()["apps"] == []


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_on_a_full_disk_a_command_finds_a_daemon_or_starts_one(small: Stack, how: str):
    small.up(SLEEPS)
    [daemon] = daemons(small)
    pids = [i["pid"] for i in small.instances("sleeps")]
    getattr(daemon, how)()
    eventually(lambda: not daemons(small))
    fill(small.home)
    assert [i["pid"] for i in small.instances("sleeps")] == pids
