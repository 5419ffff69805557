"""Waiting in a program that has no event loop: the command line."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(ask: Callable[[], bool], seconds: float, every: float = 0.02) -> bool:
    """Ask until the answer is yes; False when it was not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not ask():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True


def pause(seconds: float) -> None:
    time.sleep(seconds)
