"""Many instances come, are replaced and go, and the daemon answers and hears all along.

With ten times as many and limits in milliseconds it is a row of bench/chaos; that no work grows
with the square of their number is counted in tests/unit/test_growth.py.
"""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest

from portico.client.client import Client
from portico.core.model import verbs
from tests.answers import asked
from tests.instances import is_dead
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

AUTOGROUP = Path("/proc/self/autogroup")
COUNT = 60
ANSWERS_WITHIN = 2.0
"""Seconds, for a machine with much else to do; a round that let nobody else in took longer."""
MANY = f"""
[apps.web]
command = "perl {PROGRAMS / "listen.pl"}"
instances = {COUNT}
batch = 30
"""


def ready(stack: Stack) -> int:
    return sum(i["state"] == "ready" for i in stack.instances("web"))


def is_whole(stack: Stack) -> bool:
    found = stack.instances("web")
    return len(found) == COUNT and all(i["current"] and i["pid"] for i in found)


@pytest.mark.alone
def test_the_daemon_answers_while_many_instances_are_replaced_and_stopped(stack: Stack):
    stack.up(MANY)
    first = {i["pid"] for i in stack.instances("web")}
    assert ready(stack) == len(first) == COUNT
    with asked(stack.home / "api.sock") as answers:
        stack.done("reload", "web")
        assert not first & {i["pid"] for i in stack.instances("web")}
        stack.done("stop", "web")
    assert ready(stack) == 0
    print(f"{len(answers.seconds)} answers within {answers.longest_ms:.0f} ms")
    assert answers.failed == []
    assert answers.later_than(ANSWERS_WITHIN) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may raise a priority")
@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not group sessions")
def test_the_daemon_has_more_weight_than_what_it_starts(stack: Stack):
    stack.up(MANY)
    pids = [stack.status()["daemon"]["pid"], *(i["pid"] for i in stack.instances("web"))]
    nice = [Path(f"/proc/{pid}/autogroup").read_text().split()[-1] for pid in pids]
    assert nice == ["-15", *["0"] * COUNT]


def test_a_daemon_in_the_middle_of_many_starts_leaves_at_once_and_the_next_one_goes_on(stack):
    stack.up(MANY)
    daemon = stack.status()["daemon"]["pid"]
    ended = os.pidfd_open(daemon)
    Client(stack.home / "api.sock").ask(verbs.RELOAD, app="web")
    eventually(lambda: any(not i["current"] for i in stack.instances("web")))
    os.kill(daemon, signal.SIGTERM)
    eventually(lambda: select.select([ended], [], [], 0)[0], within=60)
    os.close(ended)
    eventually(lambda: is_whole(stack), within=90)
    pids = [i["pid"] for i in stack.instances("web")]
    assert len(set(pids)) == COUNT
    stack.done("down", "--now")
    assert all(map(is_dead, pids))
