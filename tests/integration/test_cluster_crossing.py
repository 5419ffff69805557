"""Requests over several machines, each a network namespace with a whole Portico in it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster import SITE, Machines, needs_root
from tests.stack import PROGRAMS, eventually, kill

pytestmark = needs_root
AWAY = "away.localhost"
APPS = f"""
[apps.web]
command = ["node", "{PROGRAMS}/echo.js"]
instances = 2
[apps.away]
command = ["node", "{PROGRAMS}/echo.js"]
on = ["m2", "m3"]

[sites."{SITE}"]
app = "web"
[sites."{AWAY}"]
app = "away"
"""


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with Machines("m1", "m2", "m3") as machines:
        machines.up(APPS)
        both = {each["pid"] for name in ("m2", "m3") for each in machines[name].instances("away")}
        assert len(both) == 2
        eventually(lambda: {machines["m1"].get(AWAY).json["pid"] for _ in range(4)} == both)
        yield machines


def test_where_another_machine_is_cut_off_no_request_is_lost_at_home(machines):
    with machines.load("m1", seconds=3, connections=4, rate=200, posts=0.5) as load:
        machines.cut("m2")
        report = load.report()
    machines.mend("m2")
    assert report.lost == 0
    assert report.answers.keys() == {str(i["pid"]) for i in machines["m1"].instances("web")}


def test_an_app_that_is_not_here_is_answered_by_the_machine_that_is_left(machines):
    with machines.load("m1", AWAY, seconds=5, connections=4, rate=100, posts=0.5) as load:
        cut = time.monotonic()
        machines.cut("m2")
        report = load.report()
    machines.mend("m2")
    assert [loss for loss in report.losses if loss["sent"] > cut + 2] == []
    [left] = machines["m3"].instances("away")
    assert report.answers[str(left["pid"])] > 200


def test_where_all_own_instances_die_no_request_is_lost_that_begins_then(machines):
    """Those under way were sent to both that died: a request is repeated once."""
    with machines.load("m1", seconds=3, connections=4, rate=200, posts=0.5) as load:
        for each in machines["m1"].instances("web"):
            kill(each["pid"])
        dead = time.monotonic()
        report = load.report()
    assert [loss for loss in report.losses if loss["sent"] > dead] == []
    assert len(report.answers) > 2  # those before, and those of other machines or after
