"""Rows in which instances die, hang, leak, or crash again and again."""

from __future__ import annotations

import os
import signal
import time

from bench.chaos_rows.outcome import Effort, Outcome, Row
from bench.chaos_rows.site import (
    INSTANCES,
    NAME,
    NODE,
    PYTHON,
    Killed,
    Site,
    at_rest,
    blame_killed,
    is_replaced,
    kill_instance,
    load,
    portico,
    web,
)
from tests.waiting import eventually

INTERVAL, FALL = 1.0, 2


def kill_instances(effort: Effort, outcome: Outcome) -> None:
    """One after the other, each when the one before is back."""
    with portico(outcome, web(NODE)) as site:
        outcome.rest = at_rest(site, effort)
        killed = list[Killed]()
        with load(site, effort) as under:
            for n in range(effort.kills):
                killed.append(kill_instance(site.instances("web")[n % INSTANCES]))
                eventually(lambda last=killed[-1]: _is_back(site, last))
            outcome.measured(under.stop())
        blame_killed(outcome, killed)
        outcome.said.append(f"{len(killed)} killed")
    outcome.must_lose_nothing()


def _is_back(site: Site, killed: Killed) -> bool:
    """Replaced, and asked by nginx again."""
    if not is_replaced(site, killed):
        return False
    with site.client(NAME) as client:
        asked = {client.ask("GET").json["pid"] for _ in range(2 * INSTANCES)}
    return site.pids()[killed.slot - 1] in asked


def crash_loop(effort: Effort, outcome: Outcome) -> None:
    """One of four dies again and again, each time as soon as it is ready."""
    with portico(outcome, web(NODE, max_restarts=4, min_uptime=5)) as site:
        outcome.rest = at_rest(site, effort)
        killed = list[Killed]()
        with load(site, effort) as under:
            begun = time.monotonic()
            while (now := site.instances("web")[2])["state"] != "failed":
                if now["state"] == "ready" and now["pid"] not in {k.pid for k in killed}:
                    killed.append(kill_instance(now))
                time.sleep(0.05)
                assert time.monotonic() < begun + 60, f"it is {now['state']} still"
            given_up = time.monotonic()
            time.sleep(effort.seconds)
            outcome.measured(under.stop())
        late = [loss for loss in outcome.failures if loss["sent"] > given_up + 1]
        outcome.must(not late, f"{len(late)} lost after it was given up")
        blame_killed(outcome, killed)
        outcome.must("killed" in str(site.status()["troubles"]), "status does not say so")
        outcome.said.append(f"given up {given_up - begun:.1f} s after {len(killed)} deaths")
    outcome.must_lose_nothing()


def hung_instance(effort: Effort, outcome: Outcome) -> None:
    """Stopped by SIGSTOP: the kernel accepts its connections, and nobody answers."""
    health = {"path": "/healthz", "interval": INTERVAL, "fall": FALL}
    with portico(outcome, web(NODE, health=health, stop_timeout=2)) as site:
        outcome.rest = at_rest(site, effort)
        many = {"connections": effort.rate * 4 // 3, "rate": effort.rate / 3}  # some hang
        with load(site, effort, **many) as under:
            time.sleep(1)
            victim = site.instances("web")[1]
            os.kill(victim["pid"], signal.SIGSTOP)
            hung = time.monotonic()
            eventually(lambda: not _is_ready(site, victim["id"]), within=20)
            out = time.monotonic()
            eventually(lambda: is_replaced(site, Killed.of(victim)), within=60)
            back = time.monotonic()
            time.sleep(effort.seconds)
            outcome.measured(under.stop())
        outcome.said.append(f"out after {out - hung:.1f} s, replaced after {back - hung:.1f} s")
        outcome.must(
            out - hung < INTERVAL * FALL + effort.late, f"out only after {out - hung:.1f} s"
        )
        outcome.set_apart(
            "asked the hung instance before it was out",
            lambda loss: (
                (loss["sent"] < out + 1 and loss["lost"] > hung) or loss["pid"] == victim["pid"]
            ),
        )
    outcome.must_lose_nothing()


def _is_ready(site: Site, instance: str) -> bool:
    return any(i["id"] == instance and i["state"] == "ready" for i in site.instances("web"))


def leaking_instance(effort: Effort, outcome: Outcome) -> None:
    """Slot 2 keeps 200 KB of every request."""
    with portico(outcome, web(PYTHON, {"LEAK_1": "200000"}, max_memory="100m")) as site:
        victim = site.instances("web")[1]
        with load(site, effort) as under:
            begun = time.monotonic()
            eventually(lambda: is_replaced(site, Killed.of(victim)), within=90)
            took = time.monotonic() - begun
            time.sleep(effort.seconds)
            outcome.measured(under.stop())
        outcome.said.append(f"replaced after {took:.1f} s")
        outcome.set_apart(
            "WebSocket of the replaced instance",
            lambda loss: loss["kind"] == "WebSocket" and loss["pid"] == victim["pid"],
        )
    outcome.must_lose_nothing()


ROWS = (
    Row("kill-instance", "0 failed GET; POST in flight on it are counted", kill_instances),
    Row("crash-loop", "0 failed GET, none at all once it is given up", crash_loop),
    Row(
        "hung-instance",
        "0 failed once it is out; out within interval times fall + 1 s",
        hung_instance,
    ),
    Row("leaking-instance", "0 failed", leaking_instance),
)
