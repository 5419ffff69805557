"""When a line of a log was written, as far as the line itself says so."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import datetime
from typing import Final

_ISO: Final = (
    r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:[.,]([0-9]{1,9}))?[ ]?(Z|UTC|[+-][0-9]{2}:?[0-9]{2})?"
)
_LINE: Final = re.compile(rf"[^0-9]{{0,12}}{_ISO}")
"""A time at the beginning, perhaps behind a bracket or a level."""
_COMMON_LOG_TIME: Final = re.compile(
    r"\[([0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]{8} [+-][0-9]{4})\]"
)
"""As in nginx's combined format."""
_KEYS: Final = ("time", "timestamp", "@timestamp", "ts", "msec", "date", "datetime")
_MILLISECONDS: Final = 1e11
"""A Unix time above this counts them."""
_MAX_TIME: Final = 1e15
_MAX_JSON: Final = 1 << 16


def time_of(line: str) -> float | None:
    """Unix time; one without an offset is this machine's local time. None where it has none."""
    if line.startswith("{"):
        return _of_json(line) if len(line) <= _MAX_JSON else None
    if found := _LINE.match(line):
        return _of_match(found)
    if found := _COMMON_LOG_TIME.search(line, 0, 300):
        with suppress(ValueError):
            return datetime.strptime(found[1], "%d/%b/%Y:%H:%M:%S %z").timestamp()
    return None


def _of_json(line: str) -> float | None:
    try:
        table = json.loads(line)
    except (ValueError, RecursionError):
        return None
    value = next((table[key] for key in _KEYS if key in table), None)
    if isinstance(value, str) and (found := re.match(_ISO, value)):
        return _of_match(found)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", value):
        value = float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _MAX_TIME:
        return value / 1000 if value > _MILLISECONDS else float(value)
    return None


def _of_match(found: re.Match[str]) -> float | None:
    year, month, day, clock, fraction, offset = found.groups()
    zone = "+00:00" if offset in {"Z", "UTC"} else offset or ""
    text = f"{year}-{month}-{day}T{clock}.{(fraction or '0')[:6]:0<6}{zone}"
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).timestamp()
    return None
