"""Whether an authority answers, and what it says about itself. RFC 8555 7.1.1."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.protocol.authority import PublicDirectory
from portico.adapters.acme.wire import Server


def directory(server: Server, context: RunContext) -> tuple[tuple[str, ...], float | None]:
    """What a CAA record has to name, and by how many seconds this machine's clock is ahead of the
    authority's, to about one.
    """
    authority = PublicDirectory(server, context)
    skew = _skew(authority.date, context.now(), authority.took)
    return authority.directory.meta.caa, skew


def _skew(date: str, now: float, took: float) -> float | None:
    """Seconds by which this clock is ahead; the header was written half way, and cuts seconds."""
    try:
        written = parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return now - took / 2 - (written + 0.5)
