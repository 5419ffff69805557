"""Time zones, as the machine knows them."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

LOCAL_TIME: Final = Path("/etc/localtime")


def time_zone(name: str | None) -> tzinfo:
    """The zone of that name, or the machine's own; UTC where it has none.

    Raises ValueError if it knows no zone of that name.
    """
    if name is None:
        return _local()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'time zone "{name}" does not exist on this machine') from None


def _local() -> tzinfo:
    """As tzset(3) finds it: TZ, else /etc/localtime."""
    with suppress(ZoneInfoNotFoundError, ValueError, OSError):
        if name := os.environ.get("TZ", "").removeprefix(":"):
            return ZoneInfo(name)
    with suppress(ValueError, OSError), LOCAL_TIME.open("rb") as file:
        return ZoneInfo.from_file(file)
    return UTC
