"""Deploy hooks that have failed: when they run again, and what is said of them."""

from __future__ import annotations

from portico.core.model.certificate import Lineage, RenewalState
from portico.core.model.moments import moment


def hooks_due(lineage: Lineage, renewal: RenewalState) -> float | None:
    """When to run them again; None if none has failed. At once if the file has others since."""
    trouble = renewal.hook_trouble
    if trouble is None:
        return None
    return trouble.retry_at if set(renewal.hooks_left) <= set(lineage.hooks) else trouble.at


def hook_sentence(renewal: RenewalState) -> str:
    """Empty where none has failed."""
    if (trouble := renewal.hook_trouble) is None:
        return ""
    return (
        f"the hook of {renewal.lineage} failed: {trouble.error}; the certificate is served, and "
        f"the hook runs again at {moment(trouble.retry_at)}"
    )
