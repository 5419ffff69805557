"""Which schema the machines of a cluster use in its store: the newest one that all of them know.

The record of the cluster has its number (`least`). A machine that does not know it does not follow
the store, and one that knows a newer one writes as the record says. The number rises by a command
of an operator alone: an older Portico cannot take part from then on.
"""

from __future__ import annotations

from collections.abc import Mapping


def next_schema(least: int, known: Mapping[str, int | None]) -> tuple[int, str]:
    """The schema that can be used from now on, and why it is not a newer one that some know.

    `known` has by machine the newest schema that it knows; None where its daemon is not connected
    to the store.
    """
    newest = max((each for each in known.values() if each is not None), default=least)
    if newest <= least:
        return least, ""
    absent = [name for name, each in known.items() if each is None]
    if absent:
        return least, f"not connected to the store: {', '.join(absent)}"
    usable = min(each for each in known.values() if each is not None)
    older = [name for name, each in known.items() if each != newest]
    why = f"Portico on {', '.join(older)} is older, and must be upgraded" if older else ""
    return max(least, usable), why
