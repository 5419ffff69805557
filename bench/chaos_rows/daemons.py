"""Rows in which porticod dies, is restarted, or is replaced by a newer one."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.chaos_rows.outcome import Effort, Outcome, Row
from bench.chaos_rows.site import NODE, Site, at_rest, load, portico, web
from tests.stack import BIN
from tests.waiting import eventually

AWAY = 2.0
"""Seconds without a daemon."""
ROLLOUT = 6.0
"""Seconds into a rollout after which the last one is cut."""


def kill_daemon(effort: Effort, outcome: Outcome) -> None:
    with portico(outcome, web(NODE)) as site:
        outcome.rest = at_rest(site, effort)
        with load(site, effort) as under, _nothing_dies(outcome, site):
            for _ in range(effort.repeats):
                time.sleep(1)
                site.kill_daemon()
                time.sleep(AWAY)
                site.revive()
            time.sleep(1)
            outcome.measured(under.stop())
        outcome.said.append(f"{effort.repeats} times, {AWAY:g} s without one each")
    outcome.must_lose_nothing()


def kill_in_rollout(effort: Effort, outcome: Outcome) -> None:
    with portico(outcome, web(NODE, drain_timeout=effort.drain)) as site:
        outcome.rest = at_rest(site, effort)
        ends, old = list[str](), list[int]()
        with load(site, effort) as under:
            for n in range(effort.repeats):
                before = site.pids()
                old += before
                _cut_a_rollout(site, after=ROLLOUT * (n + 1) / (effort.repeats + 1))
                eventually(site.is_whole, within=60)
                now = site.pids()
                ends.append(_end_of(before, now))
            outcome.measured(under.stop())
        outcome.must("half" not in ends, f"rollouts ended: {', '.join(ends)}")
        outcome.said += [f"{ends.count(end)} {end}" for end in dict.fromkeys(ends)]
        outcome.set_apart(
            "WebSocket of a replaced instance",
            lambda loss: loss["kind"] == "WebSocket" and loss["pid"] in old,
        )
    outcome.must_lose_nothing()


def _cut_a_rollout(site: Site, after: float) -> None:
    with subprocess.Popen(
        [BIN / "portico", "reload", "web"],
        env=site.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as reload:
        time.sleep(after)
        site.kill_daemon()
        reload.wait(120)
    site.revive()


def _end_of(before: list[int], now: list[int]) -> str:
    if not set(before) & set(now):
        return "completed"
    return "reverted" if before == now else "half"


def restart_daemon(effort: Effort, outcome: Outcome) -> None:
    """As systemd restarts the unit: SIGTERM, its end, a new one, until that says READY=1."""
    with portico(outcome, web(NODE)) as site:
        outcome.rest = at_rest(site, effort)
        with load(site, effort) as under, _nothing_dies(outcome, site):
            for _ in range(effort.repeats):
                end_daemon(site)
                start_as_a_unit(site)
                time.sleep(1)
            outcome.measured(under.stop())
        outcome.said.append(f"{effort.repeats} times")
    outcome.must_lose_nothing()


def end_daemon(site: Site) -> None:
    pid = site.status()["daemon"]["pid"]
    file = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: select.select([file], [], [], 0)[0], within=30)
    os.close(file)


def start_as_a_unit(site: Site, **env: str) -> None:
    path = site.root / "notify"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(120)
        daemon = subprocess.Popen(
            [sys.executable, "-P", "-m", "portico.daemon.main"],
            env=site.environ | {"NOTIFY_SOCKET": str(path)} | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        site.daemons.append(daemon)
        while b"READY=1" not in notify.recv(4096):
            pass


def upgrade_daemon(effort: Effort, outcome: Outcome) -> None:
    with portico(outcome, web(NODE)) as site:
        outcome.rest = at_rest(site, effort)
        before = site.status()["daemon"]["pid"]
        with load(site, effort) as under, _nothing_dies(outcome, site):
            result = site.portico("upgrade", "--daemon")
            time.sleep(1)
            outcome.measured(under.stop())
        outcome.must(
            result.returncode == 0, f"upgrade exited {result.returncode}: {result.stderr}"
        )
        outcome.must(site.status()["daemon"]["pid"] != before, "the daemon is the same")
    outcome.must_lose_nothing()


@contextmanager
def _nothing_dies(outcome: Outcome, site: Site) -> Iterator[None]:
    """The same instances and the same nginx after the block, adopted."""
    before, nginx = site.pids(), site.status()["nginx"]["pid"]
    yield
    outcome.must(site.pids() == before, "instances have other pids")
    outcome.must(site.status()["nginx"]["pid"] == nginx, "nginx has another pid")


ROWS = (
    Row("kill-daemon", "0 failed, same pids adopted", kill_daemon),
    Row("kill-daemon-in-rollout", "0 failed, completed or reverted, never half", kill_in_rollout),
    Row("restart-daemon", "0 failed, same pids adopted", restart_daemon),
    Row("upgrade-daemon", "0 failed, same pids adopted", upgrade_daemon),
)
