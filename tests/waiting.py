"""What tests wait for, and whether a process or a listener is there."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from typing import TypeVar

import psutil

T = TypeVar("T")

MIN_PAUSE, MAX_PAUSE = 0.05, 0.2
"""Seconds between two questions of `eventually`."""


def kill(pid: int) -> int:
    """SIGKILL a process and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: is_gone(pid))
    return pid


def is_gone(pid: int) -> bool:
    """Whether all its threads have ended; its parent may not have looked yet."""
    try:
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def is_listening(port: int) -> bool:
    """Whether a program of this machine accepts TCP connections there, on IPv4."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def eventually(check: Callable[[], T], within: float = 60.0, every: float | None = None) -> T:
    """Ask again until the answer is true; fail with the last answer at the deadline. By itself it
    asks less often the longer it lasts, since what is asked has work to do.
    """
    begun = time.monotonic()
    while True:
        answer = check()
        if answer:
            return answer
        waited = time.monotonic() - begun
        assert waited < within, f"not within {within} s; the last answer: {answer!r}"
        time.sleep(every or min(max(MIN_PAUSE, waited / 10), MAX_PAUSE))


def processor_seconds() -> float:
    """Used by this process and by its children that have ended; other work does not count."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
