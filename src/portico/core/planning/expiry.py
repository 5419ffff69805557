"""How near the end of a certificate is that should have been renewed: authorities warn nobody."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from portico.core.model.certificate import Certificate, Memory
from portico.core.planning.renewal import backstop

QUARTER: Final = 1 / 4
TENTH: Final = 1 / 10


def warning(served: Certificate | None, memory: Memory, now: float) -> str:
    """Empty while there is nothing to worry about. `served` is the one that nginx is given.

    The sentence is another one at each threshold, and the same in between: when renewing it is
    late and fails, with a quarter of its life left, with a tenth, and after its end.
    """
    if served is None:
        return ""
    end = f"{datetime.fromtimestamp(served.not_after, UTC):%Y-%m-%d %H:%M} UTC"
    left = served.not_after - now
    if left <= 0:
        return f"its certificate expired at {end}, and browsers refuse it"
    if left < TENTH * served.lifetime:
        return f"less than a tenth of its certificate's life is left: it expires at {end}"
    if left < QUARTER * served.lifetime:
        return f"less than a quarter of its certificate's life is left: it expires at {end}"
    if now > backstop(served) and (memory.last_trouble or memory.deploy_trouble):
        return f"renewing its certificate is late and has failed: it expires at {end}"
    return ""
