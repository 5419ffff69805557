"""Rows in which a disk is full, or the state file is damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from bench.chaos_rows.daemons import end_daemon
from bench.chaos_rows.outcome import Effort, Outcome, Row, Skipped
from bench.chaos_rows.site import (
    NODE,
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

SAID_WITHIN = 30.0
"""Seconds: what nobody waits for is looked after every ten."""


def full_log_folder(effort: Effort, outcome: Outcome) -> None:
    """An instance dies meanwhile and is replaced."""
    with portico(outcome, web(NODE), partial(_small_disk, "logs", "2m")) as site:
        outcome.rest = at_rest(site, effort)
        with load(site, effort) as under, _filled(site.home / "logs"):
            _is_said(outcome, site)
            killed = kill_instance(site.instances("web")[1])
            eventually(lambda: is_replaced(site, killed))
            time.sleep(effort.seconds)
            outcome.measured(under.stop())
        _is_over(outcome, site)
        blame_killed(outcome, [killed])
    outcome.must_lose_nothing()


def full_home(effort: Effort, outcome: Outcome) -> None:
    """An instance dies meanwhile, and then the daemon. No upload: nginx has no room for bodies."""
    with portico(outcome, web(NODE), partial(_small_disk, "", "8m")) as site:
        outcome.rest = at_rest(site, effort, upload_rate=0)
        nginx = site.status()["nginx"]["pid"]
        with load(site, effort, upload_rate=0) as under:
            with _filled(site.home):
                _is_said(outcome, site)
                killed = kill_instance(site.instances("web")[1])
                eventually(lambda: is_replaced(site, killed))
                before = site.pids()
            eventually(lambda: not site.status()["troubles"], within=SAID_WITHIN)
            with _filled(site.home):
                site.kill_daemon()
                time.sleep(effort.seconds)
                outcome.said.append(f"a new daemon {'came up' if _revived(site) else 'did not'}")
            eventually(lambda: _revived(site), within=30)
            outcome.must(site.pids() == before, "other pids than before")
            outcome.must(site.status()["nginx"]["pid"] == nginx, "nginx has another pid")
            outcome.measured(under.stop())
        _is_over(outcome, site)
        blame_killed(outcome, [killed])
    outcome.must_lose_nothing()


def truncated_away(effort: Effort, outcome: Outcome) -> None:
    """Half of portico.db is lost while no daemon runs."""
    with portico(outcome, web(NODE, drain_timeout=effort.drain)) as site:
        outcome.rest = at_rest(site, effort)
        before = site.pids()
        with load(site, effort) as under:
            end_daemon(site)
            _halve(site.home / "portico.db")
            site.revive()
            _is_said(outcome, site)
            _goes_on(outcome, site, before)
            outcome.measured(under.stop())
        _blame_replaced(outcome, before)
    outcome.must_lose_nothing()


def truncated_running(effort: Effort, outcome: Outcome) -> None:
    """Half of portico.db is lost while the daemon uses it; then an instance dies."""
    with portico(outcome, web(NODE, drain_timeout=effort.drain)) as site:
        outcome.rest = at_rest(site, effort)
        end_daemon(site)  # so that all is in the file and nothing in its log
        site.revive()
        with load(site, effort) as under:
            _halve(site.home / "portico.db")
            killed = kill_instance(site.instances("web")[1])
            eventually(lambda: is_replaced(site, killed))
            _is_said(
                outcome, site, or_else="not noticed: all of it was in memory, and written again"
            )
            before = site.pids()
            end_daemon(site)
            site.revive()
            _goes_on(outcome, site, before)
            outcome.measured(under.stop())
        blame_killed(outcome, [killed])
        _blame_replaced(outcome, before)
    outcome.must_lose_nothing()


def _goes_on(outcome: Outcome, site: Site, before: list[int]) -> None:
    outcome.must(site.pids() == before, "instances have other pids")
    result = site.portico("reload", "web")
    outcome.must(result.returncode == 0, f"reload afterwards: {result.stderr}")
    eventually(site.is_whole, within=60)


def _blame_replaced(outcome: Outcome, before: list[int]) -> None:
    outcome.set_apart(
        "WebSocket of a replaced instance",
        lambda loss: loss["kind"] == "WebSocket" and loss["pid"] in before,
    )


def _halve(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _is_said(outcome: Outcome, site: Site, or_else: str = "") -> None:
    begun = time.monotonic()
    with suppress(AssertionError):
        said = eventually(lambda: site.status()["troubles"], within=SAID_WITHIN)
        outcome.said.append(f"said after {time.monotonic() - begun:.0f} s")
        print("said:", said)
        return
    if or_else:
        outcome.said.append(or_else)
    else:
        outcome.wrong.append("status says nothing of it")


def _is_over(outcome: Outcome, site: Site) -> None:
    try:
        eventually(lambda: not site.status()["troubles"], within=SAID_WITHIN)
    except AssertionError:
        outcome.wrong.append(f"afterwards: {'; '.join(site.status()['troubles'])}")
    outcome.must(site.portico("reload", "web").returncode == 0, "no reload afterwards")


def _revived(site: Site) -> bool:
    result = site.portico("status")
    print(result.stdout, result.stderr)
    return result.returncode == 0


@contextmanager
def _small_disk(inside: str, size: str, site: Site) -> Iterator[None]:
    """A file system of its own for a folder of PORTICO_HOME."""
    folder = site.home / inside
    for each in (site.home, folder):
        each.mkdir(mode=0o711, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "portico-chaos", str(folder)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(site.root)
        raise Skipped(f"cannot mount a small disk: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def _filled(folder: Path) -> Iterator[None]:
    """No byte free in this file system for the time of the block."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            for size in (1 << 16, 4096, 1):
                with suppress(OSError):
                    while file.write(b"\0" * size):
                        pass
            yield
        finally:
            ballast.unlink()


ROWS = (
    Row("full-log-folder", "0 failed, said in status, over when there is room", full_log_folder),
    Row("full-home", "0 failed, said in status, over when there is room", full_home),
    Row("truncated-state", "0 failed, said in status, same pids adopted", truncated_away),
    Row(
        "truncated-state-in-use", "0 failed, said in status, same pids adopted", truncated_running
    ),
)
