"""A PM2 file that runs the processes of a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from portico.core.model.app import App
from portico.stack.export.processes import Process


def ecosystem(project: str, processes: Sequence[Process]) -> str:
    """JSON, one entry a process: each has a port of its own, which nginx knows."""
    entries = [dict(_entry(project, each)) for each in processes]
    return json.dumps({"apps": entries}, indent=2) + "\n"


def _entry(project: str, process: Process) -> Iterator[tuple[str, object]]:
    program, *arguments = process.argv
    yield "name", f"{project}-{process.name}"
    yield "script", program
    yield "args", arguments
    yield "interpreter", "none"
    yield "cwd", process.cwd
    app = process.app
    signal = {"PM2_KILL_SIGNAL": app.stop_signal}
    yield "env", {**process.from_files, **process.environment, **signal}
    yield from _life(app)
    named = {"uid": app.user, "gid": app.group, "out_file": app.logs.stdout}
    named |= {"error_file": app.logs.stderr, "cron_restart": app.restart_schedule or app.schedule}
    yield from ((name, value) for name, value in named.items() if value)


def _life(app: App) -> Iterator[tuple[str, object]]:
    yield "autorestart", app.comes_back
    yield "kill_timeout", _milliseconds(app.stop_timeout)
    yield "min_uptime", _milliseconds(app.min_uptime)
    yield "max_restarts", app.max_restarts
    yield "exp_backoff_restart_delay", _milliseconds(app.backoff)
    if app.wait_ready:
        yield "wait_ready", True
        yield "listen_timeout", _milliseconds(app.ready_timeout)
    if app.max_memory:
        yield "max_memory_restart", app.max_memory
    if app.stop_exit_codes:
        yield "stop_exit_codes", list(app.stop_exit_codes)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
