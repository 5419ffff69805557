"""How near the end of a certificate is that should have been renewed: authorities warn nobody."""

from __future__ import annotations

from typing import Final

from portico.core.model.certificate import Certificate, RenewalState
from portico.core.model.moments import moment
from portico.core.planning.renewal import backstop

QUARTER: Final = 1 / 4
TENTH: Final = 1 / 10


def warning(served: Certificate | None, renewal: RenewalState, now: float) -> str:
    """Empty while there is nothing to worry about. `served` is the one that nginx is given.

    The sentence is another one at each threshold, and the same in between: when renewing it is
    late and fails, with a quarter of its life left, with a tenth, and after its end.
    """
    if served is None:
        return ""
    end = moment(served.not_after)
    left = served.not_after - now
    if left <= 0:
        return f"its certificate expired at {end}; browsers reject it"
    if left < TENTH * served.lifetime:
        return f"its certificate expires at {end}, with less than a tenth of its lifetime left"
    if left < QUARTER * served.lifetime:
        return f"its certificate expires at {end}, with less than a quarter of its lifetime left"
    if now > backstop(served) and (renewal.last_trouble or renewal.deploy_trouble):
        return f"its certificate expires at {end}; renewal is late and has failed"
    return ""
