"""Until when OpenSSL mends each line of its versions (openssl-library.org, release strategy)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Final

SUPPORTED_UNTIL: Final = {
    (1, 1): date(2023, 9, 11),
    (3, 0): date(2026, 9, 7),
    (3, 1): date(2025, 3, 14),
    (3, 2): date(2025, 11, 23),
    (3, 3): date(2026, 4, 9),
    (3, 4): date(2026, 10, 22),
    (3, 5): date(2030, 4, 8),
    (3, 6): date(2026, 11, 1),
}


def unsupported_since(openssl: str, now: float) -> date | None:
    """The day on which support of the line of `OpenSSL 3.3.7` ended; None while it goes on, and
    for a line that is not known here.
    """
    version = re.fullmatch(r"OpenSSL (\d+)\.(\d+)\.\S+", openssl)
    if version is None:
        return None
    ended = SUPPORTED_UNTIL.get((int(version[1]), int(version[2])))
    return ended if ended and ended < datetime.fromtimestamp(now, UTC).date() else None
