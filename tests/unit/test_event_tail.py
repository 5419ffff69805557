"""What `portico events -f` shows of other machines, whose clocks may be set."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, islice

import pytest

from portico.cli import event_tail
from portico.cli.event_tail import EventTail
from portico.errors import Refused


@dataclass(frozen=True)
class Event:
    at: float
    number: int


class Client:
    """Of a machine that asks m2, which has more events each time it is asked for the newest."""

    def __init__(self, *added: list[Event]) -> None:
        self._added, self._known = list(added), list[Event]()

    def ask(self, verb, count, machine, before=None, **wanted):
        assert machine == "m2"
        if before is None:
            if not self._added:
                raise Refused("that was all")
            new = self._added.pop(0)
            if new and self._known and new[0].number < self._known[-1].number:
                self._known = []  # its database was lost
            self._known += new
        found = [each for each in self._known if before is None or each.number < before]
        return found[::-1][:count]


def followed(*added: list[Event]) -> list[Event]:
    tail, found = EventTail(Client(*added), "m1", {}), []
    with pytest.raises(Refused, match="that was all"):
        found.extend(tail.follow({"m2": (1000.0, 3)}, with_joined=False))
    return found


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(event_tail, "POLL_INTERVAL", 0.0)


OLD = [Event(998.0, 1), Event(999.0, 2), Event(1000.0, 3)]


def test_a_clock_that_is_set_back_loses_no_event_and_repeats_none():
    back = [Event(400.0, 4), Event(401.0, 5)]
    again = [Event(1002.0, 6)]
    assert followed(OLD, back, [], again, [Event(402.0, 7)], []) == [
        *back,
        *again,
        Event(402.0, 7),
    ]


def test_many_new_events_are_asked_for_in_pages():
    many = list(islice(map(Event, count(1001.0), count(4)), 1700))
    assert followed(OLD, many, []) == many


def test_a_machine_that_answers_with_the_same_page_again_and_again_is_asked_no_more():
    pages = []

    class Liar:
        def ask(self, verb, count, **wanted):
            pages.append(count)
            return [Event(2000.0, 9000 - each) for each in range(count)]

    tail = EventTail(Liar(), "m1", {})
    assert len(tail._newer("m2", (1000.0, 3))) < 5000  # noqa: SLF001 - one question of many
    assert len(pages) == 3


def test_a_machine_that_lost_its_events_counts_anew():
    assert followed(OLD, [Event(1001.0, 1)], [Event(1002.0, 2)], []) == [
        Event(1001.0, 1),
        Event(1002.0, 2),
    ]
