"""A cron expression as the calendar events of a systemd timer (systemd.time(7))."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_DAYS: Final = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)


def calendar_events(cron: str, zone: str | None) -> list[str] | None:
    """Lines of OnCalendar=; two where cron means either of two days. None for what only cron can
    say, such as the last day of a month. `cron` has five fields.
    """
    minute, hour, day, month, weekday = cron.split()
    try:
        at = f"{_field(hour, 0, 23)}:{_field(minute, 0, 59)}:00"
        months = _field(_replace_names(month, _MONTHS, 1), 1, 12)
        days = _field(day, 1, 31)
        weekdays = _weekdays(weekday)
    except ValueError:
        return None
    suffix = f" {zone}" if zone else ""
    by_date = f"*-{months}-{days} {at}{suffix}"
    if not weekdays:
        return [by_date]
    by_weekday = f"{weekdays} *-{months}-* {at}{suffix}"
    return [by_weekday] if days == "*" else [by_date, by_weekday]


def _weekdays(text: str) -> str:
    """Empty for every day."""
    names = tuple(day.lower() for day in _DAYS)
    numbers = {number % 7 for number in _numbers(_replace_names(text, names, 0), 0, 7)}
    return "" if len(numbers) == len(_DAYS) else ",".join(_DAYS[each] for each in sorted(numbers))


def _field(text: str, first: int, last: int) -> str:
    numbers = sorted(set(_numbers(text, first, last)))
    return "*" if len(numbers) == last - first + 1 else ",".join(f"{each:02}" for each in numbers)


def _numbers(text: str, first: int, last: int) -> Iterator[int]:
    """Raises ValueError for what is not numbers, ranges and steps."""
    for part in text.split(","):
        span, _, step = part.partition("/")
        low, dash, high = span.partition("-")
        if span == "*":
            low, high = str(first), str(last)
        elif not dash:
            high = str(last) if step else low
        yield from range(int(low), int(high) + 1, int(step or 1))


def _replace_names(text: str, names: tuple[str, ...], first: int) -> str:
    """With numbers in the place of names."""
    lowered = text.lower()
    for number, name in enumerate(names, first):
        lowered = lowered.replace(name, str(number))
    return lowered
