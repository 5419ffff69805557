"""porticod on a machine whose clock is ahead."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from unittest.mock import patch

from portico.daemon import main as daemon
from portico.system.clock import SystemClock

SECONDS: Final = 20 * 60
"""Longer than a token is valid."""


@contextmanager
def clock_ahead() -> Iterator[None]:
    """Of this process too, for a while."""
    with patch.object(SystemClock, "now", lambda _: time.time() + SECONDS):
        yield


def main() -> None:
    with clock_ahead():
        daemon.main()
