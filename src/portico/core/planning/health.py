"""From probes to a verdict, and from a verdict to what follows.

A verdict is the state of an instance, READY or UNREADY, and how many probes in a row have spoken
against it since; both are part of its record, so that no daemon has to find them out again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from portico.core.model.check import Check
from portico.core.model.instance import PROVEN_STATES, Instance, InstanceEvent, InstanceState
from portico.core.planning.lifecycle import move

OVERDUE_TIME: Final = 1.0
"""Seconds over `fall` intervals in which a hung program is out, whatever the timeout is. An
answer that takes longer is overdue."""


def after_probe(instance: Instance, trouble: str | None, check: Check, *, now: float) -> Instance:
    """The instance after one probe; `trouble` is what was wrong, None if nothing was.

    What came too late, about an instance that is leaving or was restarted, changes nothing; nor
    does what somebody else has answered on its port.
    """
    i = instance
    if i.state not in PROVEN_STATES or i.taken or (trouble and now - i.spawned < check.grace):
        return i
    if (i.state is InstanceState.READY) is (trouble is None):
        return replace(i, against=0, reason=_reason(trouble)) if i.against or trouble else i
    if i.against + 1 < (check.fall if trouble else check.rise):
        reason = f"{_reason(trouble)} ({i.against + 1} of {check.fall})" if trouble else i.reason
        return replace(i, against=i.against + 1, reason=reason)
    event = InstanceEvent.CHECK_FAILED if trouble else InstanceEvent.CHECK_PASSED
    return move(i, event, now=now, reason=_reason(trouble))


def pace(check: Check, *, overdue: bool) -> float:
    """Seconds from the beginning of a probe to that of the next.

    `overdue` is whether the probe had no answer for a second. A program that hangs just after a
    good probe is found out when the last of `fall` more has waited its whole time; where that is
    longer than a second, those after the first begin so much sooner.
    """
    longer = max(0.0, check.limit - OVERDUE_TIME)
    if check.fall == 1:
        return check.interval - longer
    return check.interval - longer / (check.fall - 1) if overdue else check.interval


def recovery(check: Check) -> float:
    """Seconds for which an instance may be unready before it is restarted: as long again as it
    took to become so.
    """
    return check.interval * check.fall


def _reason(trouble: str | None) -> str:
    return f"fails its health check: {trouble}" if trouble else ""
