"""Stops the daemon of a home. What it supervised keeps running, and the next one adopts it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from portico.client.client import Client
from portico.core.model import verbs
from portico.errors import Failed, Refused
from portico.system.waiting import wait_for

if TYPE_CHECKING:
    from portico.core.model.views import DaemonView

EXIT_TIMEOUT: Final = 15.0  # seconds


def mode_of(daemon: DaemonView) -> str:
    """What started it; an older daemon does not report it."""
    return cast("Mapping[str, str]", daemon).get("mode", "command")


def stop_daemon(client: Client) -> None:
    """Stop the daemon that answers, and wait until it has exited. Failed if it does not; Refused
    where everything would stop with it.
    """
    daemon = client.ask(verbs.STATUS).daemon
    pid = daemon.pid
    if mode_of(daemon) == "foreground":
        raise Refused(
            f"the daemon (pid {pid}) runs in the foreground, and stopping it would stop "
            "everything; nothing was changed. Restart it where it was started"
        )
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not wait_for(lambda: not client.answers(), EXIT_TIMEOUT):
        raise Failed(
            f"the daemon (pid {pid}) did not exit within {EXIT_TIMEOUT:g} s; it keeps running"
        )
