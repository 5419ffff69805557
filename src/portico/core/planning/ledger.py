"""The ledger of what authorities count: whether an order may be sent, and else from when on.

An order that would hit a limit is refused here, before it is sent: at the authority it would lock
the names out for up to a week, for every client of this operator.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from portico.core.model.certificate import DAY, STAGING_LIMITS, Entry, Issuer, Limit, Limits
from portico.core.planning.domains import registered_domain

Counted = Literal["same names", "domain", "failed validations", "orders", "accounts"]

LONGEST: Final = DAY  # that an authority's own `Retry-After` is believed


@dataclass(frozen=True, slots=True)
class Use:
    """How much of one limit is used up."""

    limit: Counted
    of: str
    """The registered domain, or the name, or the names; empty for orders and accounts."""
    used: int
    most: int
    free_at: float
    """When one more fits; a moment that has passed if it does now."""


@dataclass(frozen=True, slots=True)
class Refusal:
    why: str
    until: float


class Ledger:
    """The entries of a time, ready to be asked. `entries` should reach back a week, or as far as
    the longest span of the limits in use.
    """

    def __init__(self, entries: Iterable[Entry], now: float) -> None:
        self._now = now
        self._times: defaultdict[tuple[str, Counted, str], list[float]] = defaultdict(list)
        self._limited: defaultdict[str, list[Entry]] = defaultdict(list)
        known = list(entries)
        ends = {(e.issuer, e.order): e for e in known if e.kind in _ENDS}
        for entry in known:
            self._count(entry, ends.get((entry.issuer, entry.order)))
        for times in self._times.values():
            times.sort()

    def refusal(
        self, issuer: Issuer, names: Sequence[str], *, exempt: bool = False, staging: bool = False
    ) -> Refusal | None:
        """Why an order must not be sent now; `exempt` is one that replaces a certificate.

        With `staging` it is one for the issuer's staging directory, whose limits are wide.
        """
        directory = issuer.staging if staging and issuer.staging else issuer.directory
        if told := self._told(directory, names):
            return told
        return None if exempt else _worst(self.uses(issuer, names, staging=staging), self._now)

    def account_refusal(self, issuer: Issuer) -> Refusal | None:
        """Why no account may be made now."""
        use = self._use(issuer.directory, "accounts", "", issuer.limits.accounts)
        return self._told(issuer.directory, ()) or _worst([use], self._now)

    def uses(
        self, issuer: Issuer, names: Sequence[str], *, staging: bool = False
    ) -> Iterator[Use]:
        """How much is used of each limit that an order for these names would count towards."""
        limits, directory = issuer.limits, issuer.directory
        if staging and issuer.staging:
            limits, directory = STAGING_LIMITS, issuer.staging
        yield self._use(directory, "same names", _set(names), limits.same_names)
        for domain in sorted(set(map(registered_domain, names))):
            yield self._use(directory, "domain", domain, limits.domain)
        for name in sorted(set(map(_validated, names))):
            yield self._use(directory, "failed validations", name, limits.failed_validations)
        yield self._use(directory, "orders", "", limits.orders)

    def _count(self, entry: Entry, end: Entry | None) -> None:
        at = min(entry.at, self._now)
        match entry.kind:
            case "order":
                self._count_order(entry, end, at)
            case "failed_validation":
                for name in set(map(_validated, entry.names)):
                    self._times[entry.issuer, "failed validations", name].append(at)
            case "account":
                self._times[entry.issuer, "accounts", ""].append(at)
            case "limited":
                self._limited[entry.issuer].append(entry)
            case "certificate" | "abandoned":
                pass  # they say how an order has ended

    def _count_order(self, entry: Entry, end: Entry | None, at: float) -> None:
        """One that is still open may become a certificate, so it counts as one."""
        signed = end if end and end.kind == "certificate" else None
        if (signed or entry).exempt:  # what it has turned out to be, rather than what was hoped
            return
        self._times[entry.issuer, "orders", ""].append(at)
        if end and not signed:
            return
        at = min(signed.at, self._now) if signed else at
        self._times[entry.issuer, "same names", _set(entry.names)].append(at)
        for domain in set(map(registered_domain, entry.names)):
            self._times[entry.issuer, "domain", domain].append(at)

    def _use(self, directory: str, limit: Counted, of: str, allowed: Limit) -> Use:
        times = self._times.get((directory, limit, of), [])
        used = len(times) - bisect_right(times, self._now, key=lambda at: at + allowed.within)
        free_at = self._now
        if used >= allowed.most:
            # One more fits when all but `most - 1` of them have left the span.
            free_at = times[-allowed.most] + allowed.within
        return Use(limit, of, used, allowed.most, free_at)

    def _told(self, directory: str, names: Sequence[str]) -> Refusal | None:
        """The authority's own word, obeyed for whatever is asked of it."""
        mine = set(map(_validated, names))
        found: Refusal | None = None
        for entry in self._limited.get(directory, ()):
            if entry.names and mine.isdisjoint(map(_validated, entry.names)):
                continue
            until = min(entry.until or 0.0, min(entry.at, self._now) + LONGEST)
            if until > self._now and (found is None or until > found.until):
                found = Refusal(f"{directory} asks to be left alone until then", until)
        return found


_ENDS: Final = ("certificate", "abandoned")


def longest_span(limits: Limits) -> float:
    """How far back a ledger has to reach, in seconds."""
    every = (
        limits.same_names,
        limits.failed_validations,
        limits.domain,
        limits.orders,
        limits.accounts,
    )
    return max(limit.within for limit in every)


def _worst(uses: Iterable[Use], now: float) -> Refusal | None:
    over = [use for use in uses if use.used >= use.most]
    if not over:
        return None
    use = max(over, key=lambda each: each.free_at)
    return Refusal(_REASONS[use.limit].format(use=use), max(use.free_at, now))


_REASONS: Final[dict[Counted, str]] = {
    "same names": "{use.used} certificates for exactly {use.of} were obtained of {use.most}",
    "domain": "{use.used} certificates under {use.of} were obtained of {use.most}",
    "failed validations": "{use.used} validations of {use.of} have failed of {use.most}",
    "orders": "{use.used} orders were sent of {use.most}",
    "accounts": "{use.used} accounts were made of {use.most}",
}


def _set(names: Sequence[str]) -> str:
    return ", ".join(sorted({name.lower() for name in names}))


def _validated(name: str) -> str:
    """What an authority looks at: for a wildcard its parent. RFC 8555 7.1.3."""
    return name.lower().removeprefix("*.")
