"""What is wrong with a certificate that is served: revoked, or near its end. Nobody else warns."""

from __future__ import annotations

from typing import Final

from portico.core.model.certificate import DAY, Certificate, RenewalState
from portico.core.model.moments import moment
from portico.core.model.pair import Facts
from portico.core.planning.renewal import is_revoked, latest_renewal

QUARTER: Final = 1 / 4
TENTH: Final = 1 / 10
OWN_NOTICE: Final = 30 * DAY
"""Nothing is said of an operator's own certificate before."""


def warning(served: Certificate | None, renewal: RenewalState, now: float) -> str:
    """Empty while there is nothing to worry about. `served` is the one that nginx is given.

    The sentence is another one at each threshold, and the same in between: when renewing it is
    late and fails, with a quarter of its life left, with a tenth, and after its end.
    """
    if served is None:
        return ""
    if is_revoked(served, renewal):
        return "its certificate is revoked; clients may reject it until another one is served"
    if near := _near_end(served.not_before, served.not_after, now):
        return near
    if now > latest_renewal(served) and (renewal.last_trouble or renewal.deploy_trouble):
        end = moment(served.not_after)
        return f"its certificate expires at {end}; renewal is late and has failed"
    return ""


def warning_of_own(served: Facts, now: float) -> str:
    """The same of an operator's own, which others renew: some live for ten years."""
    if served.not_after - now >= OWN_NOTICE:
        return ""
    return _near_end(served.not_before, served.not_after, now)


def _near_end(not_before: float, not_after: float, now: float) -> str:
    end, left, lifetime = moment(not_after), not_after - now, not_after - not_before
    if left <= 0:
        return f"its certificate expired at {end}; browsers reject it"
    if left < TENTH * lifetime:
        return f"its certificate expires at {end}, with less than a tenth of its lifetime left"
    if left < QUARTER * lifetime:
        return f"its certificate expires at {end}, with less than a quarter of its lifetime left"
    return ""
