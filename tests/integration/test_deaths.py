"""What dies is replaced, and what a death may cost is counted: SIGKILL under load."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually, is_gone, kill

RATE, SLOW = 60, "/?sleep=0.1"
"""Six requests at a time are being answered."""


@pytest.fixture(scope="module")
def four() -> Iterator[Stack]:
    """Four instances of a program, for one death after the other."""
    with Stack() as stack:
        up(stack, f"python3 {PROGRAMS / 'echo.py'}")
        yield stack


def up(stack: Stack, command: str) -> None:
    stack.up(
        f"[apps.web]\ncommand = '{command}'\ninstances = 4\nhealth = '/healthz'\n"
        "[sites.'app.localhost']\napp = 'web'\n",
        workers=2,
    )


def pids(stack: Stack) -> list[int]:
    return [instance["pid"] for instance in stack.instances("web")]


def is_replaced(stack: Stack, slot: int, victim: int) -> bool:
    now = next((i for i in stack.instances("web") if i["slot"] == slot + 1), None)
    return now is not None and now["state"] == "ready" and now["pid"] not in {None, victim}


def test_the_death_of_the_daemon_costs_nothing_and_the_next_one_adopts(four):
    before, nginx = pids(four), four.status()["nginx"]["pid"]
    with four.load("app.localhost", SLOW, rate=RATE, posts=0.2) as load:
        daemon = four.kill_daemon()
        status = four.status()  # this command starts another daemon
        assert status["daemon"]["pid"] != daemon
        assert pids(four) == before
        assert status["nginx"]["pid"] == nginx
        report = load.stop()
    assert report.failed == {}
    assert report.requests > 0
    assert set(report.answers) <= {str(pid) for pid in before}


def test_an_adopted_instance_is_still_supervised(four):
    restarts = four.instances("web")[2]["restarts"]
    four.kill_daemon()
    victim = kill(pids(four)[2])
    eventually(lambda: is_replaced(four, 2, victim))
    assert four.instances("web")[2]["restarts"] == restarts + 1


def test_what_died_while_no_daemon_lived_is_started_again(four):
    before = pids(four)
    four.kill_daemon()
    kill(before[0])
    eventually(lambda: is_replaced(four, 0, before[0]))
    assert pids(four)[1:] == before[1:]


def test_the_death_of_an_instance_of_node_loses_no_get_either(stack):
    up(stack, f"node {PROGRAMS / 'echo.js'}")
    test_the_death_of_an_instance_loses_no_get(stack)


def test_the_death_of_an_instance_loses_no_get(four):
    """A load for each death: a request is repeated once, and one that is slow on a busy machine
    would meet the next death too.
    """
    for slot in range(4):
        with four.load("app.localhost", SLOW, rate=RATE, connections=32) as load:
            victim = kill(pids(four)[slot])
            eventually(lambda slot=slot, victim=victim: is_replaced(four, slot, victim))
            eventually(lambda slot=slot: pids(four)[slot] in _asked(four))
            report = load.stop()
        assert report.failed == {}, (report.first_failures, _tries_of_failed(four))
        assert report.requests > 0
    eventually(lambda: set(pids(four)) <= _asked(four))


def _asked(stack: Stack) -> set[int]:
    """Who answers now."""
    with stack.client("app.localhost") as client:
        return {client.ask("GET").json["pid"] for _ in range(16)}


def _tries_of_failed(stack: Stack) -> list[str]:
    """Lines of the access log that say which instances a failed request was sent to."""
    lines = (stack.home / "logs/sites/app.localhost.access.log").read_text().splitlines()
    return [line for line in lines if json.loads(line)["status"] == 502]


def test_after_the_death_of_the_nginx_master_sites_are_back_in_seconds(four):
    starts = starts_of_nginx(four)
    with four.load("app.localhost", rate=RATE) as load:
        workers = [w.pid for w in psutil.Process(four.status()["nginx"]["pid"]).children()]
        master = four.kill_nginx()
        eventually(lambda: four.status()["nginx"]["pid"] not in {None, master})
        eventually(lambda: all(map(is_gone, workers)))
        report = load.stop()
    assert report.longest_gap_s < 15, report.first_failures
    assert starts_of_nginx(four) == starts + 1
    assert four.get("app.localhost").status == 200


def test_a_master_that_dies_just_after_its_start_is_replaced_as_well(four):
    eventually(lambda: is_settled(four))
    before = four.kill_nginx()
    eventually(lambda: four.status()["nginx"]["pid"] not in {None, before})
    young = four.kill_nginx()
    eventually(lambda: four.status()["nginx"]["pid"] not in {None, young})
    eventually(lambda: is_settled(four))
    assert four.get("app.localhost").status == 200
    assert "internal error" not in log_of(four)


def test_the_death_of_every_nginx_process_is_over_in_seconds(four):
    eventually(lambda: is_settled(four))
    starts = starts_of_nginx(four)
    with four.load("app.localhost", rate=RATE) as load:
        master = psutil.Process(four.status()["nginx"]["pid"])
        for process in (master, *master.children()):
            os.kill(process.pid, signal.SIGKILL)
        eventually(lambda: four.status()["nginx"]["pid"] not in {None, master.pid})
        eventually(lambda: four.answers("app.localhost"))
        report = load.stop()
    assert report.longest_gap_s < 15, report.first_failures
    assert not [kind for kind in report.failed if "502" in kind], "it began without its instances"
    assert starts_of_nginx(four) == starts + 1


def starts_of_nginx(stack: Stack) -> int:
    """How often it took to have another: how long each takes is the machine's."""
    return log_of(stack).count(" start nginx: its master process died")


def log_of(stack: Stack) -> str:
    return (stack.home / "logs/porticod.log").read_text()


def is_settled(stack: Stack) -> bool:
    """Whether nginx asks discovery alone where instances are: a moment after it was started."""
    return not (stack.home / "nginx/seeds").exists()
