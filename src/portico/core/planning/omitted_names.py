"""Names that cannot be validated: the others of their site get a certificate without them.

They are tried again, each time with all the others, until one certificate is for all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from portico.core.model.certificate import Certificate, Lineage, RenewalState, Trouble


def names_to_order(lineage: Lineage, renewal: RenewalState, now: float) -> tuple[str, ...]:
    """What the next certificate is to be for: all names if all would be left out."""
    waiting = {
        each
        for each, trouble in _names_left_out(lineage, renewal)
        if _waits(trouble, renewal, now)
    }
    return tuple(each for each in lineage.names if each not in waiting) or lineage.names


def next_attempt(lineage: Lineage, renewal: RenewalState, held: Certificate) -> Trouble | None:
    """That of the name which is to be added first to the certificate held."""
    missing = [
        trouble for name, trouble in _names_left_out(lineage, renewal) if name not in held.names
    ]
    return min(missing, key=lambda trouble: trouble.retry_at, default=None)


def left_out_text(lineage: Lineage, renewal: RenewalState) -> str:
    """For operators; empty where every name is in the certificate, or all of them fail."""
    left = [
        f"{name} is left out: {trouble.error}"
        for name, trouble in _names_left_out(lineage, renewal)
    ]
    return "; ".join(left)


def names_to_leave_out(
    lineage: Lineage,
    wrong: Mapping[str, str],
    held: Certificate | None,
    *,
    urgent: bool,
) -> dict[str, str]:
    """Those of the names that failed without which the others of `lineage` can be ordered.

    One that the certificate held is for, and that has time left, is not among them: it would lose
    a valid certificate for what may be over tomorrow.
    """
    kept: Collection[str] = held.names if held and not urgent else ()
    left = {name: why for name, why in wrong.items() if name not in kept}
    if not left.keys() < set(lineage.names):
        return {}
    return left


def _names_left_out(lineage: Lineage, renewal: RenewalState) -> Sequence[tuple[str, Trouble]]:
    """Nothing of what was left out with other settings."""
    return [
        (name, trouble)
        for name, trouble in renewal.left_out.items()
        if name in lineage.names and trouble.is_of(lineage)
    ]


def _waits(trouble: Trouble, renewal: RenewalState, now: float) -> bool:
    by_hand = renewal.forced is not None and renewal.forced > trouble.at
    return trouble.retry_at > now and not by_hand
