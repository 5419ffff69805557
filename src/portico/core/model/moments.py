"""How a moment is written for people: in UTC everywhere, so that two screens can be compared."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(at: float) -> str:
    """`2026-11-28 09:40:00 UTC` for Unix time in seconds; `never` for infinity."""
    return (
        f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        if at < float("inf")
        else "never"
    )
