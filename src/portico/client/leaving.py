"""Makes the daemon of a home leave. What it looked after goes on, and the next one adopts it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Final

from portico.client.client import Client
from portico.errors import Failed
from portico.system.waiting import wait_for

LEAVE_WITHIN: Final = 15.0  # seconds


def make_leave(client: Client) -> None:
    """Ask the daemon that answers to end, and wait until it has. Failed if it does not."""
    pid = client.version().pid
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not wait_for(lambda: not client.answers(), LEAVE_WITHIN):
        raise Failed(
            f"the daemon (pid {pid}) did not leave within {LEAVE_WITHIN:g} s; it goes on as before"
        )
