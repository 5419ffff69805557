"""Lengths of time, sizes and rates as nginx's users write them: `30s`, `10m`, `10r/s`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from portico.core.model.value_text import value_text


class Table(BaseModel):
    """One table of the file: an unknown key is an error, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value is in an operator's words, as metadata of its type: `must be {text}, not 5`."""

    text: str
    unit: str = ""
    """What a number of it counts: `seconds`."""
    secret: bool = False
    """Whether a message must not repeat the value."""


LAST_PORT: Final = 65535
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "": 1.0}
_BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_NUMBER, _UNIT = r"[0-9]{1,15}(?:\.[0-9]{1,9})?", "ms|s|m|h|d|w"
_MAX_DURATION = 10 * 365 * 86400.0
_MAX_SIZE = 1 << 50
_DURATION = Kind('a duration such as "30s", "5m" or a number of seconds', "seconds")
_SIZE = Kind('a size such as "512k", "10m" or a number of bytes', "bytes")
_RATE = Kind('a rate such as "10r/s" or "30r/m"')


def parse_duration(value: object) -> float:
    """`1h30m`, `500ms` or a number of seconds, as seconds."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value
    else:
        text = value.lower().replace(" ", "") if isinstance(value, str) else ""
        if not text or not re.fullmatch(f"({_NUMBER}({_UNIT}))*({_NUMBER})?", text):
            raise ValueError(f"must be {_DURATION.text}, not {value_text(value)}")
        parts = re.findall(f"({_NUMBER})({_UNIT})?", text)
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 <= seconds <= _MAX_DURATION:
        raise ValueError(f"must be between 0 and ten years, not {value_text(value)}")
    return float(seconds)


def parse_size(value: object) -> int:
    """`10M`, `1g`, `512k` or a number of bytes, as bytes; k, m and g are powers of 1,024."""
    text = "" if isinstance(value, (bool, float)) else str(value).strip().lower()
    found = re.fullmatch(r"([0-9]{1,18})\s*([kmgb]?)(?:i?b)?", text)
    if not found:
        raise ValueError(f"must be {_SIZE.text}, not {value_text(value)}")
    size = int(found[1]) * _BYTES[found[2]]
    if size > _MAX_SIZE:
        raise ValueError(f"must be {_MAX_SIZE >> 30}g or less, not {value_text(value)}")
    return size


def parse_rate(value: object) -> str:
    """`10r/s` or `30r/m`, as nginx's limit_req_zone takes it."""
    text = value.strip().lower() if isinstance(value, str) else ""
    if not re.fullmatch(r"[1-9][0-9]{0,5}r/[sm]", text):
        raise ValueError(f"must be {_RATE.text}, not {value_text(value)}")
    return text


def _number_or(pattern: str) -> WithJsonSchema:
    number = {"type": "number", "minimum": 0}
    return WithJsonSchema({"anyOf": [number, {"type": "string", "pattern": pattern}]})


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    _DURATION,
    _number_or(r"^ *([0-9]+(\.[0-9]+)? *(ms|[smhdwSMHDW]) *)*([0-9]+(\.[0-9]+)?)? *$"),
]
"""Seconds."""
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    _SIZE,
    _number_or(r"^ *[0-9]+ *[kmgKMG]?i?[bB]? *$"),
]
"""Bytes."""
Rate = Annotated[
    str,
    BeforeValidator(parse_rate),
    _RATE,
    WithJsonSchema({"type": "string", "pattern": "^ *[1-9][0-9]{0,5}[rR]/[sSmM] *$"}),
]
Port = Annotated[int, Field(ge=1, le=LAST_PORT)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
FilePath = Annotated[str, Field(min_length=1), Kind("a path")]
NginxPath = Annotated[str, Field(pattern=r"^[^$\x00-\x1f\x7f]+$"), Kind("a path without $")]
Words = str | tuple[str, ...]
"""Text that is split as a shell would, or a list that is taken as it is."""
