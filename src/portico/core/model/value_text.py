"""Values of the file in messages."""

from __future__ import annotations

import json
from typing import Final

_MAX_LENGTH: Final = 60


def value_text(value: object) -> str:
    """A value in a message: as the operator wrote it, cut short where it is long."""
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}..."
