"""Looks at all processes or sockets of the machine, one after the other.

Each runs in a thread and is work of the interpreter for the most part. With one thread beside it
the daemon's loop waits for nothing; with two it waited 7 ms at a time, on two cores.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

MAX_WAIT: Final = 1.0
"""Seconds: one look that hangs in the kernel holds up no other for ever."""

P = ParamSpec("P")
T = TypeVar("T")
_turn: Final = threading.RLock()


def one_at_a_time(look: Callable[P, T]) -> Callable[P, T]:
    """It begins when the one under way in another thread has ended, or takes too long."""

    @wraps(look)
    def in_turn(*args: P.args, **kwargs: P.kwargs) -> T:
        mine = _turn.acquire(timeout=MAX_WAIT)
        try:
            return look(*args, **kwargs)
        finally:
            if mine:
                _turn.release()

    return in_turn
