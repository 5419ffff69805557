"""Which machine of a cluster obtains certificates, and which of them each machine takes.

One machine at a time holds the key `issuer` of the store, bound to its session. What it writes for
an order compares the revision at which it got the key: a machine that has lost it writes nothing.
A machine on which an operator gives a command that needs the key claims it, and is given it when
the orders that are under way have ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from portico.core.model.certificate import Certificate, Entry, Lineage
from portico.core.model.moments import moment
from portico.core.model.shared_certificates import CurrentLineage

NO_THUMBPRINT: Final = "-"
"""Thumbprint of a machine that is to answer for the account, and does not yet."""
MAX_CLOCK_LEAD: Final = 600.0
"""Seconds by which a clock may be ahead: with more, no order is sent (`preflight`)."""
MAX_UNREACHABLE_ATTEMPTS: Final = 2
"""Attempts in a row in which no authority was reached, after which another machine is to try."""
HANDOVER_TIME: Final = 60.0
"""Seconds for which a machine then leaves the key to others."""


@dataclass(frozen=True, slots=True)
class IssuerView:
    """What decides whether a machine may send an order now, as far as it knows."""

    trouble: str = ""
    """Why the store is not followed."""
    holder: str = ""
    """The machine that holds `issuer`; empty if none does."""
    claimant: str = ""
    """Another machine that has claimed it; empty if none has."""
    is_yielding: bool = False
    """Whether this machine has reached no authority, and another one may."""
    is_own: bool = False
    """Whether this machine does, in its own session, for certain."""
    is_ready: bool = False
    """Whether this machine has taken all that was shared since."""
    ledger_until: float = 0.0
    """The latest moment in the ledger of the cluster."""
    thumbprint: str = ""
    answering: Mapping[str, str] = field(default_factory=dict)
    """Thumbprints by which the present machines answer; those that answer nobody are left out."""


@dataclass(frozen=True, slots=True)
class RoleView:
    """What decides whether this machine takes or gives up the key `issuer`."""

    machine: str
    needed: bool
    """Whether it has sites with certificates of authorities, and has taken all that is shared."""
    is_own: bool
    """Whether it holds the key, in its own session, for certain."""
    holder: str = ""
    claimant: str = ""
    """As in `IssuerView`, and this machine itself."""
    is_busy: bool = False
    """Whether an order is under way here, or a change of the account."""
    is_yielding: bool = False
    """As in `IssuerView`."""
    is_interrupted: bool = False
    """Whether a replacement of the account's key has not ended here: only the holder ends it."""


def role_act(view: RoleView) -> Literal["take", "give up", "claim", ""]:
    is_claimed = view.claimant not in {"", view.machine}
    is_for_others = is_claimed or view.is_yielding
    if view.is_own:
        is_over = not view.needed or (is_for_others and not view.is_busy)
        return "give up" if is_over else ""
    if not view.needed or is_for_others:
        return ""
    if not view.holder:
        return "take"
    return "claim" if view.is_interrupted and not view.claimant else ""


def hindrance(lineage: Lineage, view: IssuerView, now: float) -> str:
    """Why no order for it may be sent from this machine now; empty if it may."""
    if view.trouble:
        return f"the store of the cluster is not available: {view.trouble}"
    if not lineage.behind_nginx:  # it is this machine's own
        return ""
    if not view.is_own:
        holder = view.holder or "no machine"
        return f"{holder} obtains the certificates of the cluster"
    return _hindrance_of_issuer(lineage, view, now)


def _hindrance_of_issuer(lineage: Lineage, view: IssuerView, now: float) -> str:
    if view.claimant:
        return f"{view.claimant} is about to obtain the certificates of the cluster"
    if view.is_yielding:
        return "this machine did not reach the authority, so another machine tries"
    if not view.is_ready:
        return "this machine has not read the certificates of the other machines yet"
    if now < view.ledger_until <= now + MAX_CLOCK_LEAD:
        return (
            "the clock of this machine is behind: the last order of the cluster was placed at "
            f"{moment(view.ledger_until)}"
        )
    return silent_machines(lineage, view)


def problem(lineage: Lineage) -> str:
    """Why no machine of the cluster can obtain it; empty if one can."""
    if any(each.kind == "tls-alpn-01" for each in lineage.challenges):
        return (
            "tls-alpn-01 cannot be used in a cluster with a store, because the authority may "
            "reach another machine; use http-01 or dns-01"
        )
    return ""


def silent_machines(lineage: Lineage, view: IssuerView) -> str:
    """Which machines cannot answer an authority yet, which may reach any of them; empty where all
    can.
    """
    if not any(each.kind == "http-01" for each in lineage.challenges):
        return ""
    others = sorted(name for name, said in view.answering.items() if said != view.thumbprint)
    return f"{', '.join(others)} cannot answer the authority yet" if others else ""


def to_take(
    shared: Mapping[str, CurrentLineage],
    known: Mapping[str, int],
    held: Mapping[str, float],
    now: float,
) -> Iterator[tuple[str, int]]:
    """Lineages with the number to fetch: newer ones than this machine has taken or written, and
    those of which nothing as new is here: it was lost, or the store numbers them from 1 again, as
    it does when it has removed what had expired. None that has expired. `held` has the moment from
    which what is here is valid.
    """
    for lineage, current in shared.items():
        number = known.get(lineage, 0)
        is_lost = current.number <= number and held.get(lineage, 0.0) < current.not_before
        if (current.number > number or is_lost) and now < current.not_after:
            yield lineage, current.number


def is_to_share(
    held: Certificate | None, current: CurrentLineage | None, known: int, now: float
) -> bool:
    """Whether what is held here has to become the certificate of the cluster: it was obtained, or
    was here before, and nothing that is newer in the cluster has not been taken.
    """
    if held is None or now >= held.not_after:
        return False
    return current is None or (current.number <= known and current.serial != held.serial)


def usable_entries(shared: Mapping[str, Entry], known: frozenset[str], now: float) -> list[Entry]:
    """Lines of the ledger to add here. Those of a clock that is ahead wait until they are true:
    written here as of now they would be others, and count twice.
    """
    new = (entry for key, entry in shared.items() if key not in known and entry.at <= now)
    return sorted(new, key=lambda entry: entry.at)
