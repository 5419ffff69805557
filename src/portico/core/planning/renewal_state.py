"""What is remembered of each thing that was done for a certificate.

`now` is wall time, `random_fraction` a number in [0, 1), drawn by chance for each call.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from portico.core.model.certificate import (
    DAY,
    HOUR,
    Certificate,
    Lineage,
    RenewalState,
    Trouble,
    Window,
)
from portico.core.planning.renewal import window_of

FAILURE_PAUSES: Final = (60.0, 600.0, 6000.0, DAY)
"""Seconds after the first, second, third and every further failure in a row."""
PREFLIGHT_PAUSES: Final = (60.0, *(300.0,) * 12, 900.0)
"""The same where no order was sent: looking again costs the authority nothing."""
MIN_WAIT: Final = 60.0  # RFC 9773 4.3.2 for Retry-After
MAX_INTERVAL: Final = DAY
MAX_WAIT: Final = 1.1 * DAY  # with its jitter
RETRY_INTERVAL: Final = 6 * HOUR  # RFC 9773 4.3.3, after an answer that was none
_ATTEMPTS: Final = 6
"""That fit into the life of a certificate, however short, and into what is left of it; the last
hours, and after its end, have one an hour."""


@dataclass(frozen=True, slots=True)
class RenewalAnswer:
    """An answer of RFC 9773 4.2. Without a window, `why` says so."""

    ask_again: float | None = None
    start: float | None = None
    end: float | None = None
    explanation: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One that has failed: what decides when the next one is."""

    held: Certificate | None
    """The certificate that is served meanwhile."""
    now: float
    random_fraction: float
    settings: str = ""
    """Those of the lineage."""
    is_foreseen: bool = False
    """Nothing was ordered, because it would have failed."""

    @property
    def pauses(self) -> Sequence[float]:
        return PREFLIGHT_PAUSES if self.is_foreseen else FAILURE_PAUSES


def after_failure(
    renewal: RenewalState,
    issuer: str,
    error: str,
    attempt: Attempt,
    retry_at: float | None = None,
) -> RenewalState:
    """After an attempt at an issuer (its directory) that has led to no certificate; `retry_at` is
    when the authority said to come back.
    """
    before = renewal.troubles.get(issuer)
    if before and before.settings and before.settings != attempt.settings:
        before = None
    trouble = replace(_trouble_after(before, error, attempt), settings=attempt.settings)
    if retry_at is not None:
        wait = min(max(retry_at - attempt.now, MIN_WAIT), MAX_INTERVAL)
        retry_allowed_at = attempt.now + wait
        trouble = replace(trouble, retry_at=max(trouble.retry_at, retry_allowed_at))
    return replace(renewal, troubles={**renewal.troubles, issuer: trouble})


def after_staging(renewal: RenewalState, lineage: Lineage) -> RenewalState:
    """After staging has signed a certificate for these names."""
    return replace(renewal, staged=tuple(sorted(set(lineage.names))))


def left_out(renewal: RenewalState, wrong: Mapping[str, str], attempt: Attempt) -> RenewalState:
    """After an attempt that failed because of these names alone, with why."""
    left = dict(renewal.left_out)
    for name, why in wrong.items():
        before = left.get(name)
        before = before if before and before.settings == attempt.settings else None
        left[name] = replace(_trouble_after(before, why, attempt), settings=attempt.settings)
    return replace(renewal, left_out=left)


def after_issuance(renewal: RenewalState, names: Collection[str] = ()) -> RenewalState:
    """After a new certificate for these names is on disk, of which nothing is known yet."""
    left = {name: each for name, each in renewal.left_out.items() if name not in names}
    return RenewalState(
        renewal.lineage,
        served=renewal.served,
        served_at=renewal.served_at,
        hook_trouble=renewal.hook_trouble,
        hooks_left=renewal.hooks_left,
        staged=renewal.staged,
        revoked=renewal.revoked,
        left_out=left,
    )


def after_revocation(renewal: RenewalState, serial: str) -> RenewalState:
    """After the authority has revoked the certificate with this serial."""
    return replace(renewal, revoked=serial)


def after_deployment(renewal: RenewalState, serial: str, now: float) -> RenewalState:
    """After every listener was seen to serve it."""
    return replace(renewal, served=serial, served_at=now, deploy_trouble=None)


def not_deployed(renewal: RenewalState, error: str, attempt: Attempt) -> RenewalState:
    return replace(renewal, deploy_trouble=_trouble_after(renewal.deploy_trouble, error, attempt))


def after_hooks(
    renewal: RenewalState,
    left: tuple[tuple[str, ...], ...],
    error: str,
    attempt: Attempt,
) -> RenewalState:
    """After files were written and hooks have run. `left` are the hooks to run again; `error` is
    what was wrong, empty if nothing was.
    """
    trouble = _trouble_after(renewal.hook_trouble, error, attempt) if error else None
    return replace(renewal, hook_trouble=trouble, hooks_left=left if error else ())


def hooks_due_at_once(renewal: RenewalState, now: float) -> RenewalState:
    """Somebody asks for them to be run again now."""
    if renewal.hook_trouble is None:
        return renewal
    return replace(renewal, hook_trouble=replace(renewal.hook_trouble, retry_at=now))


def after_renewal_info(
    renewal: RenewalState,
    held: Certificate,
    answer: RenewalAnswer,
    *,
    now: float,
    random_fraction: float,
) -> RenewalState:
    """After the authority was asked about the certificate held, or could not be.

    What makes no sense changes nothing of what was known before.
    """
    again = min(max((answer.ask_again or now + RETRY_INTERVAL) - now, MIN_WAIT), MAX_INTERVAL)
    renewal = replace(renewal, asked_ari=now, ask_ari_at=now + again, ari_trouble=answer.why)
    if answer.start is None or answer.end is None:
        return replace(renewal, window=window_of(held, renewal))
    if answer.end <= answer.start:
        why = "the renewal window of its authority ends before it starts"
        return replace(renewal, window=window_of(held, renewal), ari_trouble=why)
    known = window_of(held, renewal)
    if known and answer.start <= known.renew_at <= answer.end:
        renew_at = known.renew_at
    else:
        renew_at = answer.start + random_fraction * (answer.end - answer.start)
    window = Window(held.ari_id, answer.start, answer.end, renew_at, answer.explanation)
    return replace(renewal, window=window, ari_trouble="")


def after_request(renewal: RenewalState, now: float) -> RenewalState:
    """Somebody asks for a new certificate now; the ledger still has its say."""
    return replace(renewal, forced=now)


def clamped_to_clock(renewal: RenewalState, now: float) -> RenewalState:
    """The same state where the clock has gone on, else one that such a clock can have made.

    What was written by a clock that was ahead would otherwise be waited for until that moment.
    """
    if max(_moments(renewal), default=now) <= now:
        return renewal
    asked, again = renewal.asked_ari, renewal.ask_ari_at
    if asked is not None and again is not None and asked > now:
        asked, again = now, now + min(again - asked, MAX_INTERVAL)
    return replace(
        renewal,
        troubles={issuer: _set_back(trouble, now) for issuer, trouble in renewal.troubles.items()},
        deploy_trouble=renewal.deploy_trouble and _set_back(renewal.deploy_trouble, now),
        hook_trouble=renewal.hook_trouble and _set_back(renewal.hook_trouble, now),
        left_out={name: _set_back(trouble, now) for name, trouble in renewal.left_out.items()},
        asked_ari=asked,
        ask_ari_at=again,
        forced=renewal.forced and min(renewal.forced, now),
    )


def _moments(renewal: RenewalState) -> Sequence[float]:
    """When things happened, as far as the clock of then was right."""
    moments = [trouble.at for trouble in renewal.troubles.values()]
    others = (renewal.deploy_trouble, renewal.hook_trouble, *renewal.left_out.values())
    moments += [trouble.at for trouble in others if trouble]
    return moments + [at for at in (renewal.asked_ari, renewal.forced) if at is not None]


def _set_back(trouble: Trouble, now: float) -> Trouble:
    if trouble.at <= now:
        return trouble
    wait = min(trouble.retry_at - trouble.at, MAX_WAIT)
    return replace(trouble, at=now, retry_at=now + wait)


def _trouble_after(before: Trouble | None, error: str, attempt: Attempt) -> Trouble:
    """The jitter is late, so that those that failed together do not return together."""
    now, held, pauses = attempt.now, attempt.held, attempt.pauses
    failures = before.failures + 1 if before else 1
    wait = pauses[min(failures, len(pauses)) - 1]
    if held is not None:
        left = max(held.not_after - now, _ATTEMPTS * HOUR)
        wait = min(wait, max(held.lifetime / _ATTEMPTS, MIN_WAIT), left / _ATTEMPTS)
    return Trouble(failures, error, now, now + wait * (1 + attempt.random_fraction / 10))
