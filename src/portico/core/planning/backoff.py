"""How long to wait before starting again what keeps exiting."""

from __future__ import annotations

_MAX_DOUBLINGS = 32  # the limit is reached long before; keeps the power small


def restart_delay(crashes: int, *, first: float, limit: float, jitter: float) -> float:
    """Seconds before the next start after `crashes` exits in a row; `jitter` is in [0, 1).

    The jitter adds up to a tenth, so that instances that died together do not return together.
    """
    if crashes == 0:
        return 0.0
    grown = first * 2.0 ** min(crashes - 1, _MAX_DOUBLINGS)
    return min(grown, limit) * (1 + jitter / 10)
