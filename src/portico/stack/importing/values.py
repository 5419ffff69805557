"""nginx's values as ours."""

from __future__ import annotations

import re
from typing import Final

from portico.core.model.units import parse_duration, parse_size
from portico.core.model.variables import unknown_variables

_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SECONDS_OF_NGINX: Final = {**_SECONDS, "M": 2592000, "y": 31536000, "": 1}
_UNITS: Final = ("d", "h", "m")
_SIZES: Final = ("g", "m", "k")


def duration(text: str) -> str | None:
    """`1h30m` for nginx's `90m`; None where it is none."""
    if not re.fullmatch(r"([0-9]+(ms|[smhdwMy])\s*)*([0-9]+)?", text) or not text:
        return None
    parts = re.findall(r"([0-9]+)(ms|[smhdwMy])?", text)
    return shown_duration(sum(int(n) * _SECONDS_OF_NGINX[unit] for n, unit in parts))


def shown_duration(seconds: float) -> str:
    if seconds != int(seconds):
        return f"{round(seconds * 1000)}ms"
    for unit in _UNITS:
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{int(seconds)}s"


def same_duration(one: str, other: str) -> bool:
    return parse_duration(one) == parse_duration(other)


def size(text: str) -> str | int | None:
    try:
        number = parse_size(text)
    except ValueError:
        return None
    return shown_size(number)


def shown_size(number: int) -> str | int:
    for power, unit in zip((30, 20, 10), _SIZES, strict=True):
        if number and number % (1 << power) == 0:
            return f"{number >> power}{unit}"
    return number


def header_value(text: str) -> str | None:
    """With the variables that headers may have; None where it has another one."""
    if any(unknown_variables(text)) or re.search(r"\$(?![A-Za-z_{])", text):
        return None
    return text


def whole_number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def is_on(text: str) -> bool:
    return text.lower() == "on"
