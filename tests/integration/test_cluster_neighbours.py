"""Machines of a cluster that are lost and drained, under load."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.cluster import SITE, Machines, needs_root
from tests.stack import PROGRAMS
from tests.waiting import eventually

pytestmark = needs_root
APP = f"""
[apps.web]
command = ["python3", "{PROGRAMS}/echo.py"]
instances = 1
"""
SITES = f"""
[sites."{SITE}"]
app = "web"
"""
EVERYWHERE = APP.replace("instances = 1", "total = 3") + SITES
NOT_ON_M1 = f'{APP}on = ["m2", "m3"]\n{SITES}'
STEADY = {"rate": 40.0, "connections": 8, "seconds": 60.0, "timeout": 8.0}
ON_DEAD = {"rate": 20.0, "connections": 32, "seconds": 60.0, "timeout": 4.0}
"""Through a machine that dies: all that is due until the end is still sent, and times out."""
BOTH = {"m2": (True, {"web": 1}), "m3": (True, {"web": 1})}
SETTLED = 2.0
"""Seconds after the loss of a machine from which on nothing is lost."""
SLOWEST = 1200.0
"""Milliseconds: nginx gives up a connection to a machine after one second."""


def reached(machines: Machines, name: str) -> dict[str, tuple[bool, dict]]:
    return {
        each["name"]: (each["used"] and each["reached"], each["apps"])
        for each in machines[name].status()["neighbours"]
    }


def all_reach_all(machines: Machines) -> None:
    for machine in machines:
        others = {n.name: (True, {"web": 1}) for n in machines if n is not machine}
        eventually(lambda m=machine, o=others: reached(machines, m.name).items() >= o.items())


def test_a_machine_that_dies_or_is_drained_costs_nothing_where_others_have_the_app() -> None:
    with Machines("m1", "m2", "m3") as machines:
        machines.up(EVERYWHERE)
        all_reach_all(machines)
        lose_third(machines, machines["m3"].kill)  # connections to it are reset
        machines["m3"].status()  # begins its daemon
        all_reach_all(machines)
        assert {machines["m3"].first_status(SITE) for _ in range(20)} == {200}  # each worker
        lose_third(machines, partial(machines.die, "m3"))  # it is silent

        with machines.load("m1", posts=0.5, **STEADY) as load:
            machines["m1"].done("cluster", "drain")
            [app] = machines["m1"].status()["apps"]
            assert (app["state"], app["instances"]) == ("stopped", [])
            assert machines["m1"].answers(SITE)  # by m2
            assert len(machines["m2"].instances("web")) == 2  # its part of the total, and of m1
            eventually(lambda: reached(machines, "m2")["m1"] == (True, {}))
            machines["m1"].done("cluster", "undrain")
            eventually(lambda: len(machines["m2"].instances("web")) == 1)
            report = load.stop()
        assert report.lost == 0
        assert len(report.answers) > 1


def lose_third(machines: Machines, lose: Callable[[], None]) -> None:
    root = machines["m1"].authority  # as that of m3; who names a file of m3 dies with it
    with (
        machines.load("m3", ca=root, posts=0.5, **ON_DEAD) as on_dead,
        machines.load("m2", posts=0.5, **STEADY) as on_other,
        machines.load("m1", posts=0.5, **STEADY) as load,
    ):
        died = time.monotonic()
        lose()
        eventually(lambda: not reached(machines, "m1")["m3"][0])
        assert reached(machines, "m1")["m2"][0]
        assert (load.stop().lost, on_other.stop().lost) == (0, 0)
        losses = on_dead.stop().losses
    print(f"lost on m3, which died: {len(losses)}")
    assert [each for each in losses if each["lost"] < died] == []


@pytest.mark.alone
def test_where_the_app_is_on_others_alone_the_loss_of_one_costs_what_was_under_way() -> None:
    with Machines("m1", "m2", "m3") as machines:
        machines.up(NOT_ON_M1, "m2", "m3", "m1")
        two = machines["m2"]
        lose_second(machines, partial(machines.cut, "m2"))  # it is silent
        machines.mend("m2")
        lose_second(machines, two.kill)  # connections to it are reset
        two.status()  # begins its daemon

        eventually(lambda: reached(machines, "m1").items() >= BOTH.items())
        with machines.load("m1", **STEADY) as load:  # m2 is drained, and m3 has it alone
            two.done("cluster", "drain")
            eventually(lambda: reached(machines, "m1")["m2"] == (True, {}))
            assert load.stop().lost == 0
        result = machines["m3"].portico("cluster", "drain")
        assert "web keeps running: no other machine has it ready" in result.stderr
        assert machines["m1"].answers(SITE)


def lose_second(machines: Machines, lose: Callable[[], None]) -> None:
    eventually(lambda: reached(machines, "m1").items() >= BOTH.items())
    with machines.load("m1", posts=0.5, **STEADY) as load:
        lose()
        lost = time.monotonic()
        eventually(lambda: not reached(machines, "m1")["m2"][0])
        eventually(lambda: time.monotonic() - lost > SETTLED)
        with machines.load("m1", posts=0.5, **STEADY | {"seconds": 3.0}) as later:
            calm = later.report()
        report = load.stop()
    assert [each for each in report.losses if each["sent"] - lost > SETTLED] == []
    assert calm.lost == 0
    assert calm.worst_ms < SLOWEST
