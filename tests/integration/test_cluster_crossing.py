"""Requests over several machines, each a network namespace with a whole Portico in it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster import SITE, Machine, Machines, needs_root
from tests.stack import PROGRAMS
from tests.waiting import eventually, kill

pytestmark = needs_root
AWAY, KEYED, BOUND = "away.localhost", "keyed.localhost", "bound.localhost"
APPS = f"""
[apps.web]
command = ["python3", "{PROGRAMS}/echo.py"]
instances = 2
[apps.away]
command = ["python3", "{PROGRAMS}/echo.py"]
on = ["m2", "m3"]
[apps.keyed]
command = ["python3", "{PROGRAMS}/echo.py"]
balance = "hash $arg_key"
[apps.bound]
command = ["python3", "{PROGRAMS}/echo.py"]
sticky = true

[sites."{SITE}"]
app = "web"
[sites."{AWAY}"]
app = "away"
[sites."{KEYED}"]
app = "keyed"
[sites."{BOUND}"]
app = "bound"
"""


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with Machines("m1", "m2", "m3") as machines:
        machines.up(APPS)
        both = {each["pid"] for name in ("m2", "m3") for each in machines[name].instances("away")}
        assert len(both) == 2
        eventually(lambda: machines["m1"].hears_of("away"))
        eventually(lambda: {machines["m1"].answering_pid(AWAY) for _ in range(4)} == both)
        yield machines


def test_where_another_machine_is_cut_off_no_request_is_lost_at_home(machines):
    with machines.load("m1", seconds=3, connections=4, rate=80, posts=0.5) as load:
        machines.cut("m2")
        report = load.report()
    machines.mend("m2")
    assert report.lost == 0
    assert report.answers.keys() == {str(i["pid"]) for i in machines["m1"].instances("web")}


def test_an_app_that_is_not_here_is_answered_by_the_machine_that_is_left(machines):
    with machines.load("m1", AWAY, seconds=5, connections=4, rate=60, posts=0.5) as load:
        cut = time.monotonic()
        machines.cut("m2")
        report = load.report()
    machines.mend("m2")
    assert [loss for loss in report.losses if loss["sent"] > cut + 2] == []
    [left] = machines["m3"].instances("away")
    assert report.answers[str(left["pid"])] > 120


def test_where_all_own_instances_die_no_request_is_lost_that_begins_then(machines):
    """Those under way were sent to both that died: a request is repeated once."""
    with machines.load("m1", seconds=3, connections=4, rate=80, posts=0.5) as load:
        for each in machines["m1"].instances("web"):
            kill(each["pid"])
        dead = time.monotonic()
        report = load.report()
    assert [loss for loss in report.losses if loss["sent"] > dead] == []
    assert len(report.answers) > 2  # those before, and those of other machines or after


def reached(machines: Machines, names: tuple[str, ...], instances: set[int]) -> list[int]:
    """The instances of twelve keys, when they are these and the same from each of the machines."""

    def settled() -> list[int] | None:
        first, *others = (
            [machines[name].answering_pid(KEYED, f"/?key={key}") for key in range(12)]
            for name in names
        )
        return first if set(first) == instances and all(o == first for o in others) else None

    return eventually(settled, every=0.3)


def is_out(machine: Machine, other: str) -> bool:
    return not {n["name"]: n["used"] for n in machine.status()["neighbours"]}[other]


def test_a_key_keeps_its_machine_and_a_cookie_too_while_another_one_is_cut_off(machines):
    pids = {n: {i["pid"] for i in machines[n].instances("keyed")} for n in ("m1", "m2", "m3")}
    left = pids["m1"] | pids["m3"]
    before = reached(machines, ("m1", "m2", "m3"), left | pids["m2"])
    cookie = machines["m3"].get(BOUND).headers["Set-Cookie"].partition(";")[0]
    assert cookie.startswith("portico=m3=")
    machines.cut("m2")
    try:
        for name in ("m1", "m3"):
            eventually(lambda name=name: is_out(machines[name], "m2"))
        known = time.monotonic()
        eventually(lambda: time.monotonic() > known + 2)  # nginx asks every second
        after = reached(machines, ("m1", "m3"), left)
        [own] = machines["m3"].instances("bound")
        answers = [machines["m1"].get(BOUND, Cookie=cookie) for _ in range(3)]
        assert {(a.status, a.json["pid"]) for a in answers} == {(200, own["pid"])}
        with machines.load("m1", KEYED, "/?key=1", seconds=1, connections=4, rate=100) as load:
            assert load.report().lost == 0
    finally:
        machines.mend("m2")
    assert {b for a, b in zip(after, before, strict=True) if a != b} == pids["m2"]
    assert reached(machines, ("m1", "m2", "m3"), left | pids["m2"]) == before
