"""How many examples a property is tried with."""

from __future__ import annotations

from hypothesis import settings

TIMES_MORE = 20  # of those that every run tries, where new ones are looked for


def examples(count: int) -> settings:
    """So many in every run, and many more under `--hypothesis-profile=explore`."""
    explores = settings.get_current_profile_name() == "explore"
    return settings(max_examples=count * TIMES_MORE if explores else count)
