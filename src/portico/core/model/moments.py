"""How a moment is written for people, and read: in UTC everywhere, so that two screens can be
compared. No pydantic here: commands start in an instant.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART: Final = r"([0-9]{1,9})([smhdw])"
_EXPECTED_FORM: Final = 'a duration such as "10m", or a time in UTC such as "2026-11-29T10:00"'


def moment(at: float) -> str:
    """`2026-11-28 09:40:00 UTC` for Unix time in seconds; `never` for infinity and what is after
    the year 9999, `unknown` for what is no moment: another machine may send any number.
    """
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "never" if at > 0 else "unknown"


def parse_moment(text: str, now: float) -> float:
    """Unix time of `10m` (so long before now), `2026-11-29`, `2026-11-29T10:00` or
    `2026-11-29 10:00:00+01:00`. Without an offset it is UTC. Raises ValueError.
    """
    plain = text.strip()
    if re.fullmatch(f"({_PART})+", plain):
        parts = re.findall(_PART, plain)
        return now - sum(int(number) * _SECONDS[unit] for number, unit in parts)
    try:
        found = datetime.fromisoformat(plain.removesuffix(" UTC"))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"must be {_EXPECTED_FORM}, not {text[:60]!r}") from None
