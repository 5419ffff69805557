"""A cron expression, as crontab(5) has it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

from portico.core.model.units import Kind
from portico.core.model.value_text import value_text

FIELDS: Final = 5
_MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_CRON: Final = Kind('a cron expression of five fields such as "0 4 * * *"')


def parse_cron(text: str) -> str:
    """Minute, hour, day of month, month, day of week; or `@daily` and the like."""
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - only where there is a schedule

    expression = _MACROS.get(text.strip().lower(), text)
    if len(expression.split()) != FIELDS:
        raise ValueError(f"must be {_CRON.text}, not {value_text(text)}")
    try:
        CronSim(expression, datetime.fromtimestamp(0, UTC))
    except (CronSimError, ValueError, TypeError, AssertionError) as error:
        why = str(error).removeprefix("Bad ")
        raise ValueError(
            f"must be {_CRON.text}, not {value_text(text)}"
            + (f": its {why} is wrong" if why else "")
        ) from None
    return " ".join(expression.split())


Cron = Annotated[
    str,
    AfterValidator(parse_cron),
    _CRON,
    WithJsonSchema({"type": "string", "pattern": r"^ *(@[A-Za-z]+|\S+( +\S+){4}) *$"}),
]
