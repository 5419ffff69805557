"""Ports and addresses that no other test of this machine has at the same time."""

from __future__ import annotations

import os
import random
import socket
from collections import deque

MARKS_KEPT = 200
"""Ports that `free_port` keeps from other runs; no test needs as many."""
_marks: deque[socket.socket] = deque()


def free_port() -> int:
    """A port that nothing listens on, and that no other test of this machine will be given while
    this one lasts. Neither the system gives it to connections nor Portico to instances.
    """
    for port in random.SystemRandom().sample(range(10000, 20000), 50):
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0portico-test-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
        else:
            _marks.append(mark)
            if len(_marks) > MARKS_KEPT:
                _marks.popleft().close()
            return port
    raise OSError("no free port between 10000 and 20000")


def own_address(number: int = 0) -> str:
    """One of two of 127.0.0.0/8 that no other process of tests has, for ports that are fixed."""
    own = (
        (64 << 16) + 2 * os.getpid() + number
    )  # pid_max is 2^22, so 127.64.0.0 to 127.191.255.255
    return f"127.{own >> 16}.{own >> 8 & 255}.{own & 255}"
