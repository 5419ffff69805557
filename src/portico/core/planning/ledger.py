"""The ledger of what authorities count: whether an order may be sent, and else from when on.

An order that would hit a limit is refused here, before it is sent: at the authority it would lock
the names out for up to a week, for every client of this operator.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final, Literal

from portico.core.model.certificate import DAY, Entry, Issuer, Limit, Refusal
from portico.core.planning.domains import registered_domain

Counted = Literal["same names", "domain", "failed validations", "orders", "accounts"]

MAX_RETRY_AFTER: Final = DAY  # that an authority's own `Retry-After` is believed


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


class Ledger:
    """The entries of a time, oldest first, ready to be asked. They should reach back as far as the
    longest span of the limits in use.
    """

    def __init__(self, entries: Iterable[Entry], now: float) -> None:
        self.now = now
        self._times: defaultdict[tuple[str, Counted, str], list[float]] = defaultdict(list)
        self._limited: defaultdict[str, list[Entry]] = defaultdict(list)
        opened: dict[tuple[str, str], Entry] = {}
        self._signed: dict[tuple[str, str], str] = {}
        """By issuer and name of the orders that led to a certificate: the names in it."""
        for entry in entries:
            if entry.kind == "order":
                self._open(entry, opened)
            else:
                self._count(entry, opened)
        for order in opened.values():
            self._count_order(order, None)
        self._begun = self._signed | {n: _set(each.names) for n, each in opened.items()}
        for times in self._times.values():
            times.sort()

    def at(self, now: float) -> Ledger:
        """The same entries at a later moment, without counting them again."""
        later = copy(self)
        later.now = now
        return later

    def is_counted(self, directory: str, order: str, names: Sequence[str]) -> bool:
        """Whether the order of that name was begun for these names, and is open or has led to a
        certificate.
        """
        return self._begun.get((directory, order)) == _set(names)

    def refusal(
        self, issuer: Issuer, names: Sequence[str], *, exempt: bool = False, staging: bool = False
    ) -> Refusal | None:
        """Why an order must not be sent now; `exempt` is one that replaces a certificate.

        With `staging` it is one for the issuer's staging directory, whose limits are wide.
        """
        directory = issuer.staging if staging and issuer.staging else issuer.directory
        if cooldown := self._retry_refusal(directory, names):
            return cooldown
        return (
            None
            if exempt
            else _latest_refusal(self.uses(issuer, names, staging=staging), self.now)
        )

    def account_refusal(self, issuer: Issuer, *, exempt: bool = False) -> Refusal | None:
        """Why no account may be made now; the authority's own word alone if it is `exempt`."""
        if cooldown := self._retry_refusal(issuer.directory, ()):
            return cooldown
        return None if exempt else _latest_refusal(self.accounts(issuer), self.now)

    def accounts(self, issuer: Issuer) -> Iterator[Use]:
        yield from self._use(issuer.directory, "accounts", "", issuer.limits.accounts)

    def uses(
        self, issuer: Issuer, names: Sequence[str], *, staging: bool = False
    ) -> Iterator[Use]:
        """How much is used of each limit that an order for these names would count towards."""
        limits, directory = issuer.limits, issuer.directory
        if staging and issuer.staging:
            limits, directory = issuer.staging_limits, issuer.staging
        yield from self._use(directory, "same names", _set(names), limits.same_names)
        for domain in sorted(set(map(registered_domain, names))):
            yield from self._use(directory, "domain", domain, limits.domain)
        for name in sorted(set(map(_validated_name, names))):
            yield from self._use(directory, "failed validations", name, limits.failed_validations)
        yield from self._use(directory, "orders", "", limits.orders)

    def _open(self, order: Entry, opened: dict[tuple[str, str], Entry]) -> None:
        """A second time by a run that continues it; for other names it is another order, and the
        one before leads to nothing.
        """
        name = order.issuer, order.order
        before = opened.setdefault(name, order)
        if _set(before.names) != _set(order.names):
            self._count_order(before, order)
            opened[name] = order

    def _count(self, entry: Entry, opened: dict[tuple[str, str], Entry]) -> None:
        name = entry.issuer, entry.order
        match entry.kind:
            case "certificate":
                names = _set(entry.names)
                is_repeated = name not in opened and self._signed.get(name) == names
                if not is_repeated:  # by another machine, which ended the same order
                    self._count_order(opened.pop(name, None), entry)
                self._signed[name] = names
            case "abandoned":
                self._count_order(opened.pop(name, None), entry)
                self._signed.pop(name, None)
            case "failed_validation":
                for each in set(map(_validated_name, entry.names)):
                    self._add(entry, "failed validations", each)
            case "account":
                self._add(entry, "accounts", "")
            case "limited":
                self._limited[entry.issuer].append(entry)
            case "order":
                pass  # counted with its end

    def _count_order(self, order: Entry | None, end: Entry | None) -> None:
        """One that is still open may become a certificate, so it counts as one."""
        signed = end is not None and end.kind == "certificate"
        counted = end if signed else order  # what came of it, rather than what was hoped for
        if counted is None or counted.exempt:
            return
        if order is not None:
            self._add(order, "orders", "")
        if end is None or signed:
            self._add(counted, "same names", _set(counted.names))
            for domain in set(map(registered_domain, counted.names)):
                self._add(counted, "domain", domain)

    def _add(self, entry: Entry, limit: Counted, of: str) -> None:
        self._times[entry.issuer, limit, of].append(min(entry.at, self.now))

    def _use(
        self, directory: str, limit: Counted, of: str, allowed: Limit | None
    ) -> Iterator[Use]:
        if allowed is None:
            return
        times = self._times.get((directory, limit, of), [])
        used = len(times) - bisect_right(times, self.now, key=lambda at: at + allowed.within)
        free_at = self.now
        if used >= allowed.most:
            # One more fits when all but `most - 1` of them have left the span.
            free_at = times[-allowed.most] + allowed.within
        yield Use(limit, of, used, allowed.most, free_at)

    def _retry_refusal(self, directory: str, names: Sequence[str]) -> Refusal | None:
        """The authority's own word, obeyed for whatever is asked of it."""
        mine = set(map(_validated_name, names))
        found: Refusal | None = None
        for entry in self._limited.get(directory, ()):
            if entry.names and mine.isdisjoint(map(_validated_name, entry.names)):
                continue
            until = min(entry.until or 0.0, min(entry.at, self.now) + MAX_RETRY_AFTER)
            if until > self.now and (found is None or until > found.until):
                found = Refusal(f"rate-limited by {directory}", until)
        return found


def _latest_refusal(uses: Iterable[Use], now: float) -> Refusal | None:
    over = [use for use in uses if use.used >= use.most]
    if not over:
        return None
    use = max(over, key=lambda each: each.free_at)
    return Refusal(_REASONS[use.limit].format(use=use), max(use.free_at, now))


_REASONS: Final[dict[Counted, str]] = {
    "same names": "{use.used} of {use.most} certificates for exactly {use.of} used",
    "domain": "{use.used} of {use.most} certificates for {use.of} used",
    "failed validations": "{use.used} of {use.most} failed validations of {use.of} used",
    "orders": "{use.used} of {use.most} orders used",
    "accounts": "{use.used} of {use.most} new accounts used",
}


def _set(names: Sequence[str]) -> str:
    return ", ".join(sorted({name.lower() for name in names}))


def _validated_name(name: str) -> str:
    """What an authority looks at: for a wildcard its parent. RFC 8555 7.1.3."""
    return name.lower().removeprefix("*.")
