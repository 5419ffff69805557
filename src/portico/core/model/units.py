"""Lengths of time, sizes and rates as nginx's users write them: `30s`, `10m`, `10r/s`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "": 1.0}
_BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_DURATION = r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)?"
_LONGEST = 10 * 365 * 86400.0


class Table(BaseModel):
    """One table of the file: an unknown key is an error, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def parse_duration(value: object) -> float:
    """`1h30m`, `500ms` or a number of seconds, as seconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError('must be a length of time such as "30s", "5m" or a number of seconds')
    if isinstance(value, (int, float)):
        seconds = float(value)
    else:
        text = value.strip().lower().replace(" ", "")
        if not text or not re.fullmatch(f"({_DURATION})+", text):
            raise ValueError(f'{value!r} is no length of time; write "30s", "5m", "1h30m"')
        seconds = sum(float(n) * _SECONDS[unit] for n, unit in re.findall(_DURATION, text))
    if not 0 <= seconds <= _LONGEST:
        raise ValueError("must be between 0 and ten years")
    return seconds


def parse_size(value: object) -> int:
    """`10M`, `1g`, `512k` or a number of bytes, as bytes; k, m and g are powers of 1,024."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError('must be a size such as "10m" or a number of bytes')
    found = re.fullmatch(r"(\d{1,15})\s*([kmgb]?)(?:i?b)?", str(value).strip().lower())
    if not found:
        raise ValueError(f'{value!r} is no size; write "512k", "10m", "1g"')
    return int(found[1]) * _BYTES[found[2]]


def parse_rate(value: object) -> str:
    """`10r/s` or `30r/m`, as nginx's limit_req_zone takes it."""
    text = value.strip().lower() if isinstance(value, str) else ""
    if not re.fullmatch(r"[1-9]\d{0,8}r/[sm]", text):
        raise ValueError(f'{value!r} is no rate; write "10r/s" or "30r/m"')
    return text


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]"}]}
    ),
]
"""Seconds."""
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]"}]}
    ),
]
"""Bytes."""
Rate = Annotated[
    str,
    BeforeValidator(parse_rate),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]*r/[sm]$"}),
]
