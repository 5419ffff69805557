"""Tables that fit the terminal. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

Rows = Sequence[Sequence[str]]
GAP: Final = 2
"""Characters between two columns."""
MIN_NAME: Final = 16
"""Characters of a name that are always shown."""


def shorten(text: str, length: int) -> str:
    """Without its middle: names of instances and sites differ in their ends."""
    if len(text) <= length:
        return text
    end = length // 2
    return f"{text[: length - 1 - end]}…{text[len(text) - end :]}"


def fit_table(
    heads: Sequence[str], rows: Rows, width: int, names: Collection[str], spare: Sequence[str]
) -> tuple[Sequence[str], Rows]:
    """At most `width` characters wide if that can be: columns of `names` are shortened, and those
    of `spare` left out, the first ones first, where that is not enough.
    """
    columns = {head: [row[at] for row in rows] for at, head in enumerate(heads)}
    widths = {head: max(map(len, (head, *cells))) for head, cells in columns.items()}

    def excess(most: int) -> int:
        wide = sum(min(w, most) if head in names else w for head, w in widths.items())
        return wide + GAP * (len(widths) - 1) - width

    for head in spare:
        if excess(MIN_NAME) > 0:
            widths.pop(head, None)
    most = max((widths.get(head, 0) for head in names), default=0)
    while most > MIN_NAME and excess(most) > 0:
        most -= 1
    shown = [
        [shorten(cell, most) if head in names else cell for cell in columns[head]]
        for head in widths
    ]
    return list(widths), [list(row) for row in zip(*shown, strict=True)]
