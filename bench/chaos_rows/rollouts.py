"""Rows in which the instances of an app are replaced, or were to be replaced."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.chaos_rows.outcome import Effort, Outcome, Row
from bench.chaos_rows.site import (
    NODE,
    PYTHON,
    SLOW_TO_SEE,
    at_rest,
    endings,
    load,
    pinned_port,
    portico,
    web,
)
from tests.stack import PROGRAMS
from tests.waiting import eventually

LIVE = "live.localhost"
BESIDE = f"""
[apps.live]
command = "python3 {PROGRAMS / "websocket.py"}"
instances = 2
[sites."{LIVE}"]
app = "live"
"""
"""Another app, whose WebSockets have to outlive the rollout of the first."""
PROGRAMS_REPLACED: dict[str, tuple[str, dict[str, str]]] = {
    "node": (NODE, {}),
    "node-ignores-sigterm": (NODE, {"IGNORE_SIGTERM": "1"}),
    "node-dies-at-once": (NODE, {"DIE_AT_ONCE": "1"}),
    "python": (PYTHON, {}),
}
BAD_VERSIONS = {
    "crashes": ({"CRASH": "1"}, "ends with code 7"),
    "never-listens": ({"NEVER_LISTEN": "1"}, "opened no port"),
    "fails-check": ({"UNHEALTHY": "{file}"}, "503"),
}


def rollout(
    effort: Effort, outcome: Outcome, program: str, env: dict[str, str], *, pinned: bool
) -> None:
    port = {"port": pinned_port()} if pinned else {}
    text = web(program, env, drain_timeout=effort.drain, stop_timeout=2, **port) + BESIDE
    with portico(outcome, text) as site:
        outcome.rest = at_rest(site, effort)
        old = site.pids()
        with (
            site.load(LIVE, rate=5, connections=1, websockets=10) as beside,
            load(site, effort) as under,
            endings(old) as ended,
        ):
            time.sleep(effort.lead)
            until = time.monotonic() + effort.seconds
            result = site.portico("reload", "web")
            eventually(site.is_whole, within=60)  # what was replaced may drain a while longer
            time.sleep(max(0.0, until - time.monotonic()))
            outcome.measured(under.stop())
            other = beside.stop()
        outcome.must(result.returncode == 0, f"reload exited {result.returncode}")
        outcome.must(not set(old) & set(site.pids()), "an old instance serves still")
        outcome.must(other.failed == {}, f"the other app's connections: {dict(other.failed)}")
        _blame_drained(outcome, ended, effort.drain)
    outcome.must_lose_nothing()
    outcome.must_stay_quick()


def _blame_drained(outcome: Outcome, ended: dict[int, float], drain: float) -> None:
    """A WebSocket ends with its instance, after the drain; not before, and no other."""

    def own_end(loss: dict) -> bool:
        end = ended.get(loss["pid"])
        if loss["kind"] != "WebSocket" or end is None:
            return False
        return end - drain - SLOW_TO_SEE < loss["lost"] < end + SLOW_TO_SEE

    outcome.set_apart("WebSocket of a replaced instance, at its end", own_end)


def bad_version(effort: Effort, outcome: Outcome, env: dict[str, str], reason: str) -> None:
    """`up` of a version that does not become ready: the one before goes on."""
    with tempfile.NamedTemporaryFile() as unwell:
        unwell_file = Path(unwell.name)
        env = {name: value.format(file=unwell_file) for name, value in env.items()}
        with portico(outcome, web(NODE, ready_timeout=3)) as site:
            outcome.rest = at_rest(site, effort)
            old = site.pids()
            with load(site, effort) as under:
                site.write(web(NODE, env, ready_timeout=3), workers=2)
                result = site.portico("up")
                outcome.measured(under.stop())
            told = result.stdout + result.stderr
            outcome.must(result.returncode == 1, f"up exited {result.returncode}")
            outcome.must(reason in told, f"up does not say {reason!r}: {told}")
            outcome.must(site.pids() == old, "the old version is not what serves")
    outcome.must_lose_nothing()


def _rollout(name: str, *, pinned: bool) -> Callable[[Effort, Outcome], None]:
    program, env = PROGRAMS_REPLACED[name]
    return partial(rollout, program=program, env=env, pinned=pinned)


ROWS = (
    *(
        Row(
            f"rollout-{name}{'-pinned' if pinned else ''}",
            "0 failed, p99 at most twice that at rest, WebSockets elsewhere untouched",
            _rollout(name, pinned=pinned),
        )
        for name in PROGRAMS_REPLACED
        for pinned in (False, True)
    ),
    *(
        Row(
            f"bad-version-{name}",
            "0 failed, exit 1, reason shown, old version serving",
            partial(bad_version, env=env, reason=reason),
        )
        for name, (env, reason) in BAD_VERSIONS.items()
    ),
)
