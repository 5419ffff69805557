"""Rows in which the machine's clock jumps, as the daemon sees it.

The real clock is everybody's; so the daemon runs with libfaketime (Debian's `faketime`), which
shows it another wall clock. The monotonic ones go on as they do when a real clock is set.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from bench.chaos_rows.daemons import end_daemon, start_as_a_unit
from bench.chaos_rows.outcome import Effort, Outcome, Row, Skipped
from bench.chaos_rows.site import (
    NODE,
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

LIBRARY = "faketime/libfaketimeMT.so.1"


def step(effort: Effort, outcome: Outcome, *, by: str) -> None:
    library = next(Path("/usr/lib").glob(f"*/{LIBRARY}"), None)
    if library is None:
        raise Skipped("needs libfaketime (Debian: apt install faketime)")
    with portico(outcome, web(NODE, drain_timeout=effort.drain)) as site:
        outcome.rest = at_rest(site, effort)
        shift = site.root / "clock"
        shift.write_text("+0\n")
        end_daemon(site)
        start_as_a_unit(
            site,
            LD_PRELOAD=str(library),
            FAKETIME_TIMESTAMP_FILE=str(shift),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
        )
        old = site.pids()
        with load(site, effort) as under:
            shift.write_text(f"{by}\n")
            time.sleep(effort.seconds)
            outcome.must(site.pids() == old, "instances have other pids")
            killed = kill_instance(site.instances("web")[1])
            begun = time.monotonic()
            eventually(lambda: is_replaced(site, killed))
            outcome.said.append(f"an instance came back in {time.monotonic() - begun:.1f} s")
            old += site.pids()
            outcome.must(site.portico("reload", "web").returncode == 0, "no reload")
            eventually(site.is_whole, within=60)
            outcome.measured(under.stop())
        outcome.must(_stepped(site, by), "the daemon did not see its clock jump")
        outcome.must(not site.status()["troubles"], f"troubles: {site.status()['troubles']}")
        _blame(outcome, old, killed)
    outcome.must_lose_nothing()


def _stepped(site: Site, by: str) -> bool:
    """By the time in its log, which is the wall clock's."""
    last = (site.home / "logs/porticod.log").read_text().splitlines()[-1]
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + float(by[:-1]) * 86400))
    return last.startswith(day)


def _blame(outcome: Outcome, old: list[int], killed: Killed) -> None:
    blame_killed(outcome, [killed])
    outcome.set_apart(
        "WebSocket of a replaced instance",
        lambda loss: loss["kind"] == "WebSocket" and loss["pid"] in old,
    )


ROWS = (
    Row("clock-a-day-ahead", "0 failed; deaths and rollouts go on", partial(step, by="+1d")),
    Row("clock-a-day-back", "0 failed; deaths and rollouts go on", partial(step, by="-1d")),
)
