"""Rows in which nginx's processes die, or take new files or a new binary over."""

from __future__ import annotations

import shutil
import time

import psutil

from bench.chaos_rows.outcome import Effort, Outcome, Row
from bench.chaos_rows.site import NODE, at_rest, kill_at_once, load, portico, web
from tests.waiting import eventually

BACK_WITHIN = 2.0


def kill_workers(effort: Effort, outcome: Outcome) -> None:
    with portico(outcome, web(NODE)) as site:
        outcome.rest = at_rest(site, effort)
        master = psutil.Process(site.status()["nginx"]["pid"])
        held = set[int]()
        with load(site, effort) as under:
            for _ in range(effort.repeats):
                workers = master.children()
                held |= kill_at_once(workers[0])
                eventually(lambda before=workers: _as_many_others(master, before))
                time.sleep(1)
            outcome.measured(under.stop())
        outcome.set_apart(
            "on a connection of the killed worker", lambda loss: loss["port"] in held
        )
        outcome.said.append(f"{effort.repeats} killed")
    outcome.must_lose_nothing()


def _as_many_others(master: psutil.Process, before: list[psutil.Process]) -> bool:
    now = {worker.pid for worker in master.children()}
    return len(now) == len(before) and now != {worker.pid for worker in before}


def kill_master(effort: Effort, outcome: Outcome) -> None:
    with portico(outcome, web(NODE)) as site:
        outcome.rest = at_rest(site, effort)
        times = list[float]()
        with load(site, effort) as under:
            for _ in range(effort.repeats):
                time.sleep(1)
                begun, before = time.monotonic(), site.kill_nginx()
                eventually(lambda b=before: site.status()["nginx"]["pid"] not in {None, b})
                times.append(time.monotonic() - begun)
            time.sleep(effort.seconds)
            outcome.measured(under.stop())
        outcome.said.append(f"{effort.repeats} killed, a new one after {max(times):.1f} s")
        outcome.must(outcome.during.longest_gap_s < BACK_WITHIN, "no answer for too long")
    outcome.must_lose_nothing()


def structural_reloads(effort: Effort, outcome: Outcome) -> None:
    """Each `up` changes a header that the site sends."""
    with portico(outcome, web(NODE)) as site:
        outcome.rest = at_rest(site, effort)
        first = site.status()["nginx"]["generation"]
        with load(site, effort) as under:
            for n in range(effort.reloads):
                site.up(f"{web(NODE)}headers = {{X-Version = 'v{n}'}}\n", workers=2)
            seen = site.get("app.localhost").headers["X-Version"]
            outcome.measured(under.stop())
        now = site.status()["nginx"]["generation"]
        outcome.said.append(f"{now - first} generations")
        outcome.must(now - first == effort.reloads, f"{now - first} generations instead")
        outcome.must(seen == f"v{effort.reloads - 1}", f"X-Version is {seen}")
    outcome.must_lose_nothing()


def upgrade_nginx(effort: Effort, outcome: Outcome) -> None:
    """Another binary, named in the file, takes the listening sockets over (USR2)."""
    with portico(outcome, web(NODE)) as site:
        outcome.rest = at_rest(site, effort)
        nginx = site.status()["nginx"]
        other = site.root / "nginx-of-tomorrow"
        shutil.copy2(nginx["program"], other)
        with load(site, effort) as under:
            site.up(web(NODE), workers=2, nginx=str(other))
            result = site.portico("upgrade")
            time.sleep(2)
            outcome.measured(under.stop())
        now = psutil.Process(site.status()["nginx"]["pid"]).exe()
        outcome.must(
            result.returncode == 0, f"upgrade exited {result.returncode}: {result.stderr}"
        )
        outcome.must(now == str(other), f"nginx is still {now}")
    outcome.must_lose_nothing()


ROWS = (
    Row("kill-nginx-worker", "0 failed but on connections of the killed worker", kill_workers),
    Row("kill-nginx-master", "0 failed, back within 2 s", kill_master),
    Row("structural-reloads", "0 failed", structural_reloads),
    Row("upgrade-nginx", "0 failed", upgrade_nginx),
)
