"""Whether an authority answers, and what it says about itself. RFC 8555 7.1.1."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.protocol.authority import PublicDirectory
from portico.adapters.acme.wire import Directory, DirectoryRequest


def directory(request: DirectoryRequest, context: RunContext) -> Directory:
    authority = PublicDirectory(request.server, context)
    meta, now = authority.directory.meta, context.now()
    return Directory(
        profiles=meta.profiles or {},
        terms=meta.terms,
        website=meta.website,
        caa=meta.caa,
        binding_required=meta.binding_required,
        renewal_info=bool(authority.directory.renewal_info),
        clock_skew=_skew(authority.date, now, authority.took),
    )


def _skew(date: str, now: float, took: float) -> float | None:
    """Seconds by which this clock is ahead; the header was written half way, and cuts seconds."""
    try:
        told = parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return now - took / 2 - (told + 0.5)
