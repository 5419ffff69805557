"""All that is counted, over time: ten seconds, minutes and hours of each row, in bounded memory.

Each request is in one row, so that rows add up. It is counted in the ten seconds in which it
ended; older ones roll into their minute, older minutes into their hour, and what is older than a
day is only in the total.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from portico.core.counting.counts import Counts, Packed, merge, pack, total, unpack


class Row(NamedTuple):
    """Whose requests. What is empty was not involved: a static file has no app."""

    project: str
    machine: str
    """Empty for this one."""
    site: str
    """Or a stream, whose connections are counted as requests are: see `stream_site`."""
    route: str
    """Its path as the file has it; empty for what no route takes."""
    app: str
    instance: str
    """`web.2.7`; of instances that ended a while ago all in a slot together, `web.2`."""


_STREAM: Final = "stream "


def stream_site(key: str) -> str:
    """What a stream is called among the sites; no domain has a space in it."""
    return f"{_STREAM}{key}"


def is_stream(site: str) -> bool:
    return site.startswith(_STREAM)


def key_of(stream: str) -> str:
    return stream.removeprefix(_STREAM)


WIDTHS: Final = (10, 60, 3600)
"""Seconds of a slot, in each tier."""
SIZES: Final = (7, 61, 25)
"""Slots in each tier: a minute, an hour and a day, and the slot under way."""
MINUTE: Final = 1
MAX_ROWS: Final = 20_000
"""Above it, requests are counted without route and instance."""

Slots = tuple[list[Packed], ...]
"""Of a row, by tier; slot number n of a tier is at n modulo its size."""


class Table:
    def __init__(self, now: float) -> None:
        """`now` is Unix time."""
        self._slots: dict[Row, Slots] = {}
        self._totals: dict[Row, Packed] = {}
        self._open: dict[Row, Counts] = {}
        """Of the ten seconds under way, what is in no slot and total yet: packing takes time."""
        self._newest = _numbers(now)

    def add(self, row: Row, time: float, counts: Counts) -> None:
        """Count requests that ended at this time; `counts` is the table's from now on. What ended
        in the future ended now.
        """
        known = row in self._open or row in self._totals
        if not known and len(self._totals) + len(self._open) >= MAX_ROWS:
            row = row._replace(route="", instance="")
        if int(time) // WIDTHS[0] < self._newest[0]:
            self._put(row, time, pack(counts))
        elif (found := self._open.get(row)) is None:
            self._open[row] = counts
        else:
            found.add(counts)

    def totals(self) -> Iterator[tuple[Row, Counts]]:
        """Since counting began."""
        self._close()
        for row, packed in self._totals.items():
            yield row, unpack(packed)

    def roll(self, now: float) -> None:
        """Move on to this time. To be called every few seconds, and before anything is added."""
        numbers = _numbers(now)
        if numbers == self._newest:
            return
        self._close()
        newest, self._newest = self._newest, numbers
        if self._newest[0] < newest[0]:
            self._set_back(newest, now)
        for tier, (before, after) in enumerate(zip(newest, self._newest, strict=True)):
            first = before - SIZES[tier] + 1
            for number in range(first, min(after - SIZES[tier], before) + 1):
                self._leave(tier, number)

    def window(self, seconds: int, select: Callable[[Row], bool] = lambda _: True) -> Counts:
        """Of these rows, in the slots that begin within the last so many seconds."""
        self._close()
        return total(
            packed for row in self._slots if select(row) for packed in self._recent(row, seconds)
        )

    def recent(self, seconds: int) -> Iterator[tuple[Row, Counts]]:
        """Of each row that had requests within the last so many seconds."""
        self._close()
        for row in self._slots:
            if found := [each for each in self._recent(row, seconds) if each]:
                yield row, total(found)

    def seconds_of(self, seconds: int, now: float) -> float:
        """How much of a window has passed: its last slot is under way."""
        return max(1.0, now - (self._newest[0] - seconds // WIDTHS[0] + 1) * WIDTHS[0])

    def minutes(self, select: Callable[[Row], bool]) -> list[tuple[int, Counts]]:
        """Each of the last hour with its Unix time, oldest first."""
        self._close()
        rows = [row for row in self._slots if select(row)]
        newest, size = self._newest[MINUTE], SIZES[MINUTE]
        tens = WIDTHS[MINUTE] // WIDTHS[0]
        found = []
        for number in range(newest - size + 1, newest + 1):
            parts = [self._slots[row][MINUTE][number % size] for row in rows]
            for ten in range(number * tens, (number + 1) * tens):
                if self._newest[0] - SIZES[0] < ten <= self._newest[0]:
                    parts += [self._slots[row][0][ten % SIZES[0]] for row in rows]
            found.append((number * WIDTHS[MINUTE], total(parts)))
        return found

    def fold(self, instance: Callable[[str], str], is_over: Callable[[Row], bool]) -> None:
        """Forget rows that are over and had no requests for a day; rename the instance of others,
        whose numbers are added where the new name has some.
        """
        self._close()
        for row in list(self._totals):
            name = instance(row.instance)
            if name != row.instance:
                self._merge(row, row._replace(instance=name))
            elif is_over(row) and not any(map(any, self._slots[row])):
                del self._totals[row]
                del self._slots[row]

    def dump(self) -> tuple[list[int], list[tuple[Row, Packed, Slots]]]:
        """All, as `load` takes it."""
        self._close()
        rows = [(row, packed, self._slots[row]) for row, packed in self._totals.items()]
        return list(self._newest), rows

    @classmethod
    def load(cls, newest: Iterable[int], rows: Iterable[tuple[Row, Packed, Slots]]) -> Table:
        table = cls(0.0)
        table._newest = tuple(newest)
        for row, packed, slots in rows:
            table._totals[row], table._slots[row] = packed, slots
        return table

    def _close(self) -> None:
        for row, counts in self._open.items():
            self._put(row, self._newest[0] * WIDTHS[0], pack(counts))
        self._open.clear()

    def _put(self, row: Row, time: float, packed: Packed) -> None:
        self._totals[row] = merge(self._totals.get(row, b""), packed)
        slots = self._slots.get(row)
        if slots is None:
            slots = self._slots[row] = _empty_slots()
        for tier, number in enumerate(_numbers(time)):
            if number > self._newest[tier] - SIZES[tier]:
                at = number % SIZES[tier]
                slots[tier][at] = merge(slots[tier][at], packed)
                return

    def _leave(self, tier: int, number: int) -> None:
        """What a slot has goes into the next tier, and from the last one nowhere."""
        at = number % SIZES[tier]
        for row, slots in self._slots.items():
            if packed := slots[tier][at]:
                slots[tier][at] = b""
                if tier + 1 < len(SIZES):
                    self._roll_up(row, tier + 1, number * WIDTHS[tier], packed)

    def _roll_up(self, row: Row, tier: int, time: int, packed: Packed) -> None:
        for above in range(tier, len(SIZES)):
            number = time // WIDTHS[above]
            if number > self._newest[above] - SIZES[above]:
                slots, at = self._slots[row][above], number % SIZES[above]
                slots[at] = merge(slots[at], packed)
                return

    def _set_back(self, newest: tuple[int, ...], now: float) -> None:
        """The clock of the machine was. What was counted in what is the future now belongs to
        this hour, so that it raises no rate of a minute.
        """
        hours = len(SIZES) - 1
        for slots in self._slots.values():
            future: list[Packed] = []
            for tier, last in enumerate(newest):
                first = max(self._newest[tier] + 1, last - SIZES[tier] + 1)
                kept = range(last - SIZES[tier] + 1, self._newest[tier] + 1)
                content = {
                    n: slots[tier][n % SIZES[tier]] for n in (*kept, *range(first, last + 1))
                }
                slots[tier][:] = [b""] * SIZES[tier]
                for number, packed in content.items():
                    if number >= first:
                        future.append(packed)
                    else:
                        slots[tier][number % SIZES[tier]] = packed
            at = int(now) // WIDTHS[hours] % SIZES[hours]
            slots[hours][at] = merge(slots[hours][at], *future)

    def _merge(self, row: Row, into: Row) -> None:
        self._totals[into] = merge(self._totals.get(into, b""), self._totals.pop(row))
        theirs = self._slots.pop(row)
        ours = self._slots.setdefault(into, _empty_slots())
        for own, other in zip(ours, theirs, strict=True):
            own[:] = [merge(a, b) for a, b in zip(own, other, strict=True)]

    def _recent(self, row: Row, seconds: int) -> Iterator[Packed]:
        """Slots of all tiers that begin within the window; what rolled is in the wider ones."""
        for slots, newest, width, size in zip(
            self._slots[row], self._newest, WIDTHS, SIZES, strict=True
        ):
            for number in range(newest - min(size, seconds // width) + 1, newest + 1):
                yield slots[number % size]


def _numbers(time: float) -> tuple[int, ...]:
    return tuple(int(time) // width for width in WIDTHS)


def _empty_slots() -> Slots:
    return tuple([b""] * size for size in SIZES)
