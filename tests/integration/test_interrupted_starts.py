"""The daemon dies within the start of an instance, and nothing follows from that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from portico.client.wire import is_reachable
from tests.addresses import free_port
from tests.daemons import start_daemon
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually, is_gone, kill

PROGRAM = str(PROGRAMS / "echo.py")


@pytest.fixture
def port() -> int:
    return free_port()


def up(stack: Stack, port: int) -> None:
    stack.up(f"[apps.web]\ncommand = 'python3 {PROGRAM}'\nport = {port}\nbackoff = 0.1\n")


@contextmanager
def dying_daemon(stack: Stack, moment: str) -> Iterator[None]:
    """In place of the one that runs; left when it has died."""
    stack.kill_daemon()
    died = stack.root / "died"
    environ = stack.environ | {"DIES_WHEN": moment, "DIED": str(died)}
    program = "tests.programs.dying_daemon"
    log = stack.home / "logs/porticod.log"
    daemon = start_daemon(environ, stack.folder, log, program=program)
    eventually(lambda: (stack.home / "daemon.lock").read_text() == f"{daemon}\n")
    eventually(lambda: is_reachable(stack.home / "api.sock"))
    assert stack.status()["daemon"]["pid"] == daemon
    yield
    eventually(lambda: is_gone(daemon))
    assert died.exists()


def running(stack: Stack) -> list[int]:
    """The processes of the program, whoever knows of them."""
    mine = (p for p in psutil.process_iter(["cmdline", "environ"]) if p.info["environ"])
    return [
        p.pid
        for p in mine
        if PROGRAM in (p.info["cmdline"] or ())
        and str(stack.home) in p.info["environ"].get("PORTICO_LOGS", "")
    ]


def ready(stack: Stack) -> dict | None:
    found = stack.instances("web")
    return found[0] if len(found) == 1 and found[0]["state"] == "ready" else None


@pytest.mark.parametrize("moment", ["recorded", "started"])
def test_a_rollout_goes_on_and_counts_no_restart(stack, port, moment):
    up(stack, port)
    (before,) = running(stack)
    with dying_daemon(stack, moment):
        stack.portico("reload", "web")
    (orphan,) = set(running(stack)) - {before} if moment == "started" else {None}
    after = eventually(lambda: (i := ready(stack)) and i["port"] == port and i["current"] and i)
    assert after["restarts"] == 0
    eventually(lambda: running(stack) == [after["pid"]])
    assert not [line for line in log(stack) if "revert" in line]
    if orphan:  # it is the new instance, and no other one was started
        assert after["pid"] == orphan


def test_a_process_that_was_started_again_and_not_noted_is_found_and_keeps_its_port(stack, port):
    up(stack, port)
    (first,) = running(stack)
    with dying_daemon(stack, "started"):
        kill(first)
    (orphan,) = running(stack)
    after = eventually(lambda: ready(stack))
    assert (after["pid"], after["restarts"], after["port"]) == (orphan, 1, port)
    assert running(stack) == [orphan]


def log(stack: Stack) -> list[str]:
    return (stack.home / "logs/porticod.log").read_text().splitlines()
