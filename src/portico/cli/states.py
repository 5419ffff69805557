"""How states of instances and apps are painted."""

from __future__ import annotations

from typing import Final

from portico.cli.terminal import Style

STATES: Final[dict[str, Style]] = {
    "ready": "green",
    "starting": "yellow",
    "waiting": "yellow",
    "unready": "red",
    "reached": "green",
    "not reached": "red",
    "drained": "yellow",
    "down": "yellow",
    "restarting": "yellow",
    "draining": "yellow",
    "stopping": "yellow",
    "backoff": "red",
    "failed": "red",
    "running": "green",
    "scheduled": "dim",
    "elsewhere": "dim",
    "stopped": "dim",
}
