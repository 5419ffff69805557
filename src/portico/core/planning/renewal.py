"""What to do next for a certificate, when, and why.

Every moment is one of the wall clock and is remembered, so that a restart changes none of them,
and a machine that slept does what it missed. RFC 9773 for the authority's suggestions; the waits
are those of Let's Encrypt's integration guide. `memories` has what is remembered of each outcome.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from portico.core.model.certificate import (
    DAY,
    HOUR,
    Certificate,
    Issuer,
    Lineage,
    Refusal,
    RenewalState,
    Window,
)
from portico.core.model.moments import moment
from portico.core.planning.hooks import hooks_due
from portico.core.planning.ledger import Ledger
from portico.core.planning.omitted_names import names_to_order, next_attempt

ActionKind = Literal["ask_ari", "hook", "issue", "deploy"]

SHORT_LIFETIME: Final = 10 * DAY  # renewed at half of their life instead of at two thirds
RENEWAL_SPREAD: Final = 0.02  # of a lifetime, by which renewals without a suggestion are spread
MIN_USED_PART: Final = 0.1  # of the life it had left when it came; it is not renewed sooner
FAILURES_BEFORE_NEXT_ISSUER: Final = 4
"""Failures in a row before the next issuer is asked, if there is time."""
URGENT_PART: Final = 1 / 6  # of its life is left, or none; then one failure is enough
RESERVED_PART: Final = (
    1 / 12
)  # of its life has to be left when a limit that we count lets it be ordered
MAX_WAIT_EXPIRED: Final = 3 * HOUR  # for such a limit, of one that has expired: that of its orders
NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Action:
    """The next thing to do: now if `at` has come, else nothing until then."""

    kind: ActionKind
    at: float
    """NEVER for what has a problem first."""
    why: str
    issuer: Issuer | None = None
    """Whom to ask, for `issue` and `ask_ari`."""
    staging: bool = False
    """Whether to order at the issuer's staging directory, to see whether it would work."""
    replaces: str = ""
    """The renewal id that the order should name."""
    names: tuple[str, ...] = ()
    """For `issue`: what to order; not those that are left out for now."""
    exempt: bool = False
    """The authority is known to take it, and then counts the order towards none of its limits."""

    def due(self, now: float) -> bool:
        return self.at <= now


def is_missing(
    lineage: Lineage, held: Certificate | None, renewal: RenewalState, now: float
) -> bool:
    """Whether there is none that does for what is wanted."""
    if held is None or now >= held.not_after or is_revoked(held, renewal):
        return True
    return bool(_change_reason(lineage, held))


def is_revoked(held: Certificate, renewal: RenewalState) -> bool:
    return held.serial == renewal.revoked


def is_urgent(held: Certificate, renewal: RenewalState, at: float) -> bool:
    """Whether so little of its life is left then that one failure is enough."""
    return is_revoked(held, renewal) or held.not_after - at < URGENT_PART * held.lifetime


def end_of_wait(held: Certificate, until: float, now: float) -> float:
    """Until when to wait for a limit that is counted here and free again at `until`: no
    certificate expires by our count of what its authority counts. A moment that has passed if the
    authority has to decide now.
    """
    if now >= held.not_after:
        return until if until <= now + MAX_WAIT_EXPIRED else now
    if until <= held.not_after - RESERVED_PART * held.lifetime:
        return until
    return held.not_after - URGENT_PART * held.lifetime


def next_action(  # noqa: PLR0913 - all that decides
    lineage: Lineage,
    held: Certificate | None,
    renewal: RenewalState,
    ledger: Ledger,
    now: float,
    *,
    blocked_first: bool = False,
    elsewhere: str = "",
) -> Action:
    """`renewal` comes from `clamped_to_clock`. Of several that are due, deploying comes first,
    for a certificate on disk protects nobody.

    With `blocked_first` it is the order that is due and waits for a limit, or after a failure,
    whatever else comes before it. `elsewhere` is why this machine asks no authority now, while
    another one of its cluster may.
    """
    names = names_to_order(lineage, renewal, now)
    ordered = lineage if names == lineage.names else replace(lineage, names=names)
    case = _Case(ordered, lineage, held, renewal, ledger, now, elsewhere)
    orders = list(_issue_actions(case))
    if blocked_first and orders and _due(case)[0] <= now < orders[0].at:
        return orders[0]
    actions = [*_deploy_actions(case), *orders, *_hook_actions(case), *_window_actions(case)]
    return min(actions, key=lambda action: max(action.at, now))


@dataclass(frozen=True, slots=True)
class _Case:
    lineage: Lineage
    """With the names that can be ordered now."""
    whole: Lineage
    held: Certificate | None
    renewal: RenewalState
    ledger: Ledger
    now: float
    elsewhere: str


def _deploy_actions(case: _Case) -> Iterator[Action]:
    if case.held is None or case.held.serial == case.renewal.served:
        return
    if trouble := case.renewal.deploy_trouble:
        yield Action("deploy", trouble.retry_at, f"it is not served yet: {trouble.error}")
    else:
        yield Action("deploy", case.now, "it is new and not served yet")


def _issue_actions(case: _Case) -> Iterator[Action]:
    at, why = _due(case)
    if case.lineage.problem:
        yield Action("issue", NEVER, f"{why}; {case.lineage.problem}")
        return
    if case.elsewhere:
        yield Action("issue", at if at > case.now else NEVER, f"{why}; {case.elsewhere}")
        return
    best = min(_choices(case, max(at, case.now)), key=lambda choice: choice.at)
    staging = _staging_first(case, best.issuer)
    yield Action(
        "issue",
        best.at if best.held_up else at,
        f"{why}; {best.held_up}" if best.held_up else why,
        best.issuer,
        staging=staging,
        replaces="" if staging else _replaced_id(case, best.issuer),
        names=case.lineage.names,
        exempt=_is_exempt(case, best.issuer),
    )


def _due(case: _Case) -> tuple[float, str]:
    """When a new certificate is wanted, whatever stands in the way of it."""
    held, now = case.held, case.now
    if (asked := _requested_at(case)) is not None:
        return asked, "it was requested by hand"
    if held is None:
        return now, "there is no certificate yet"
    if is_revoked(held, case.renewal):
        return now, "it is revoked"
    if changed := _change_reason(case.lineage, held):
        return now, changed
    renewal = _renewal(held, case.renewal, now)
    added = next_attempt(case.whole, case.renewal, held)
    return min(renewal, (added.retry_at, "a name was left out")) if added else renewal


def _requested_at(case: _Case) -> float | None:
    """When somebody asked for one that has not come since: one that came afterwards is what was
    asked for, even where a daemon died before it could say so. Over when every issuer has failed.
    """
    forced, held = case.renewal.forced, case.held
    if forced is None or (held and held.stored >= forced):
        return None
    return None if all(_failed_since(case, i, forced) for i in case.lineage.issuers) else forced


def _failed_since(case: _Case, issuer: Issuer, since: float) -> bool:
    trouble = case.renewal.troubles.get(issuer.directory)
    return trouble is not None and trouble.at > since


def _change_reason(lineage: Lineage, held: Certificate) -> str:
    if set(held.names) != set(lineage.names):
        return f"it is for {', '.join(held.names)} instead of {', '.join(lineage.names)}"
    if held.key_type != lineage.key_type:
        return f"its key is {held.key_type or 'of another type'} instead of {lineage.key_type}"
    if held.issuer and held.issuer not in {issuer.directory for issuer in lineage.issuers}:
        return f"its issuer {held.issuer} is no longer configured"
    return ""


def _renewal(held: Certificate, renewal: RenewalState, now: float) -> tuple[float, str]:
    at, window = latest_renewal(held), window_of(held, renewal)
    why = (
        "half of its lifetime" if held.lifetime < SHORT_LIFETIME else "two thirds of its lifetime"
    )
    why = f"{why} will have passed" if at > now else f"{why} has passed"
    if window and window.renew_at < at:
        at, why = window.renew_at, "its authority suggests this time"
        if window.explanation:
            why = f"{why}: {window.explanation}"
    if now >= held.not_after:
        why = f"it expired on {moment(held.not_after)}"
    return max(at, _settled_at(held, now)), why


def latest_renewal(held: Certificate) -> float:
    """When it is renewed at the latest: with a third of its life left, or half if that is short.

    The spread is early, and of its serial number, which an authority draws by chance.
    """
    left = held.lifetime / (2 if held.lifetime < SHORT_LIFETIME else 3)
    spread = int(held.serial or "0", 16) % 9973 / 9973 * RENEWAL_SPREAD * held.lifetime
    return held.not_after - left - spread


def window_of(held: Certificate, renewal: RenewalState) -> Window | None:
    """What is known of this very certificate: the window of an earlier one would renew it at
    once, and the next one too, for ever.
    """
    window = renewal.window
    return window if window and held.ari_id and window.ari_id == held.ari_id else None


def _settled_at(held: Certificate, now: float) -> float:
    """Before this it is not renewed, even where its window was open when it came."""
    began = held.stored if held.not_before <= held.stored <= now else held.not_before
    return began + min(DAY, MIN_USED_PART * max(held.not_after - began, 0.0))


@dataclass(frozen=True, slots=True)
class _Choice:
    issuer: Issuer
    at: float
    """When it may be asked."""
    held_up: str = ""
    """Why not at once; empty if nothing is in the way."""
    for_long: bool = False
    """The next one may be asked instead."""


def _choices(case: _Case, at: float) -> Iterator[_Choice]:
    """The issuers that may be asked, now or later, in the operator's order; the certificate is
    wanted at `at`.
    """
    for issuer in case.lineage.issuers:
        choice = _choice(case, issuer, at)
        yield choice
        if not choice.for_long:
            return


def _choice(case: _Case, issuer: Issuer, at: float) -> _Choice:
    held, trouble = case.held, case.renewal.troubles.get(issuer.directory)
    trouble = trouble if trouble and trouble.is_of(case.whole) else None
    urgent = held is None or is_urgent(held, case.renewal, at)
    asked = _requested_at(case)
    if trouble and (trouble.retry_at > at if asked is None else trouble.at > asked):
        enough = trouble.failures >= (
            1 if urgent or asked is not None else FAILURES_BEFORE_NEXT_ISSUER
        )
        why = f"the last attempt failed: {trouble.error}"
        return _Choice(issuer, trouble.retry_at, why, enough)
    if at > case.now:
        return _Choice(issuer, at)
    refusal = _refusal(case, issuer)
    if refusal is None:
        return _Choice(issuer, at)
    why = f"{issuer.directory}: {refusal.why}"
    return _Choice(issuer, refusal.until, why, urgent or refusal.until > at + DAY)


def _refusal(case: _Case, issuer: Issuer) -> Refusal | None:
    """The authority's own word is obeyed in any case, our count as long as there is time."""
    names, staging = case.lineage.names, _staging_first(case, issuer)
    if own := case.ledger.refusal(issuer, names, exempt=True, staging=staging):
        return own
    exempt = _is_exempt(case, issuer)
    refusal = case.ledger.refusal(issuer, names, exempt=exempt, staging=staging)
    if refusal is None or case.held is None:
        return refusal
    until = end_of_wait(case.held, refusal.until, case.now)
    return replace(refusal, until=until) if until > case.now else None


def _staging_first(case: _Case, issuer: Issuer) -> bool:
    """A set of names that was never certified is tried where failures cost nothing."""
    if issuer.staging is None or issuer.is_staging:
        return False
    names = set(case.lineage.names)
    known = case.held is not None and set(case.held.names) == names
    return not known and case.renewal.staged != tuple(sorted(names))


def _replaced_id(case: _Case, issuer: Issuer) -> str:
    """RFC 9773 5: of the same authority, and with a name in common."""
    held = case.held
    if held is None or held.issuer != issuer.directory:
        return ""
    return held.ari_id if set(held.names) & set(case.lineage.names) else ""


def _is_exempt(case: _Case, issuer: Issuer) -> bool:
    """Only an authority that has suggested a time for it is known to know the rule."""
    if case.held is None or window_of(case.held, case.renewal) is None:
        return False
    return not _staging_first(case, issuer) and bool(_replaced_id(case, issuer))


def _hook_actions(case: _Case) -> Iterator[Action]:
    at, trouble = hooks_due(case.lineage, case.renewal), case.renewal.hook_trouble
    if case.held and at is not None and trouble:
        yield Action("hook", at, f"its hook failed: {trouble.error}")


def _window_actions(case: _Case) -> Iterator[Action]:
    held, now = case.held, case.now
    if case.elsewhere or held is None or not held.ari_id or now >= held.not_after:
        return
    for issuer in case.lineage.issuers:
        if issuer.directory == held.issuer:
            at = now if case.renewal.ask_ari_at is None else case.renewal.ask_ari_at
            yield Action("ask_ari", at, "to get renewal information from its authority", issuer)
            return
