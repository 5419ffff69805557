"""A row with as many instances as an app may have: the daemon answers all along, and ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from bench.chaos_rows.outcome import Effort, Outcome, Row
from bench.chaos_rows.site import Site, portico
from portico.client.client import Client
from portico.core.model import verbs
from tests.answers import asked
from tests.stack import PROGRAMS
from tests.waiting import eventually

MANY = 1000
ANSWERS_WITHIN = 0.1
LEAVES_WITHIN = 1.0
MOST_MEMORY = 120e6
AT_A_TIME = 50
"""Instances that a rollout replaces at a time."""
LONGEST = 300.0
"""Seconds for one command."""
STAYS = "[apps.stays]\ncommand = 'sleep 10000'\nport = false\n"
"""So that there is a daemon that can be asked before the first of them."""


def many(effort: Effort, outcome: Outcome) -> None:
    """Up, reloaded, adopted by the next daemon, and down at once."""
    count = MANY if effort.repeats > 1 else MANY // 10
    _have_the_daemons_priority()
    with portico(outcome, STAYS) as site:
        _does(outcome, site, "up", lambda: _up(site, count))
        _is_small(outcome, site)
        _does(outcome, site, "reload", lambda: site.portico("reload", "web", seconds=LONGEST))
        _is_small(outcome, site)
        _leaves(outcome, site)
        site.revive()
        eventually(site.is_whole, within=LONGEST, every=1)
        _does(outcome, site, "down --now", lambda: _down(site))


def _have_the_daemons_priority() -> None:
    """Otherwise what asks would measure how long it waits itself for a processor (sched(7))."""
    from portico.daemon.main import AUTOGROUP_NICE  # noqa: PLC0415 - one row needs the daemon

    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(AUTOGROUP_NICE), "ascii")


def _up(site: Site, count: int) -> subprocess.CompletedProcess[str]:
    program = f"perl {PROGRAMS / 'listen.pl'}"
    site.write(
        f"[apps.web]\ncommand = '{program}'\ninstances = {count}\nbatch = {AT_A_TIME}\n{STAYS}"
    )
    return site.portico("up", seconds=LONGEST)


def _down(site: Site) -> subprocess.CompletedProcess[str]:
    return site.portico("down", "--now", seconds=LONGEST)


def _does(
    outcome: Outcome, site: Site, what: str, act: Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    begun = time.monotonic()
    with asked(site.home / "api.sock") as answers:
        result = act()
    seconds = time.monotonic() - begun
    outcome.must(result.returncode == 0, f"{what}: {result.stdout}{result.stderr}"[-300:])
    late = answers.later_than(ANSWERS_WITHIN)
    outcome.must(not late, f"{what}: {late} of {len(answers.seconds)} answers came late")
    outcome.said.append(f"{what} in {seconds:.0f} s, answers within {answers.longest_ms:.0f} ms")


def _is_small(outcome: Outcome, site: Site) -> None:
    held = psutil.Process(site.status()["daemon"]["pid"]).memory_info().rss
    outcome.said.append(f"porticod {held / 1e6:.0f} MB")
    outcome.must(held < MOST_MEMORY, "it takes more memory than it may")


def _leaves(outcome: Outcome, site: Site) -> None:
    """SIGTERM in the middle of a rollout."""
    pid = site.status()["daemon"]["pid"]
    Client(site.home / "api.sock").ask(verbs.RELOAD, app="web")
    time.sleep(1)
    file, begun = os.pidfd_open(pid), time.monotonic()
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: select.select([file], [], [], 0)[0], within=60)
    os.close(file)
    seconds = time.monotonic() - begun
    outcome.said.append(f"SIGTERM heard in {seconds:.1f} s")
    outcome.must(seconds < LEAVES_WITHIN, "SIGTERM was not heard at once")


ROWS = (
    Row(
        "thousand-instances",
        "answers within 100 ms during up, reload and down; below 120 MB; SIGTERM heard at once",
        many,
    ),
)
