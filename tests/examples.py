"""How many examples a property is tried with."""

from __future__ import annotations

from typing import Final

from hypothesis import settings

TIMES: Final = {"quick": 0.2, "explore": 20}
"""By the profile of hypothesis; conftest.py says what each is for."""


def examples(count: int) -> settings:
    """So many in the whole suite; fewer or many more under another profile."""
    times = TIMES.get(settings.get_current_profile_name(), 1)
    return settings(max_examples=max(1, round(count * times)))
