from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.counting.counts import Counts
from portico.core.counting.histogram import bucket
from portico.core.counting.table import SIZES, Row, Table
from tests.examples import examples

NOW = 1_900_000_000.0
MINUTE, TEN_MINUTES, DAY = 60, 600, 86400


def row(number=0, **fields):
    site, app, instance = "a.test", f"web{number % 3}", f"web.{number}.1"
    return Row("", "", site, "", app, instance)._replace(**fields)


def requests(table, seconds=DAY, select=lambda _: True):
    return table.window(seconds, select).requests


EVENTS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(-120, 30), st.integers(0, 4000)), max_size=60
)


@given(EVENTS)
@examples(50)
def test_no_sum_of_parts_differs_from_the_whole(events):
    table, now = Table(NOW), NOW
    for number, age, pause in events:
        now += pause
        table.roll(now)
        table.add(row(number), now - age, Counts(requests=1, times={number: 1}))
    whole = table.window(DAY)
    parts = [table.window(DAY, lambda each, n=n: each.app == f"web{n}") for n in range(3)]
    added = Counts()
    for part in parts:
        added.add(part)
    assert added == whole
    assert sum(counts.requests for _, counts in table.totals()) == len(events)
    assert sum(c.requests for _, c in table.recent(TEN_MINUTES)) == requests(table, TEN_MINUTES)


def test_what_was_counted_rolls_from_seconds_into_minutes_and_hours_and_then_out_of_the_day():
    table = Table(NOW)
    table.add(row(), NOW, Counts(requests=1))
    seen = []
    for age in range(0, DAY + 7200, 10):
        table.roll(NOW + age)
        if age in {0, 30, 300, 500, 3000, 40_000, DAY + 3700}:
            seen.append([requests(table, each) for each in (MINUTE, TEN_MINUTES, DAY)])
    assert seen == [[1, 1, 1]] * 2 + [[0, 1, 1]] * 2 + [[0, 0, 1]] * 2 + [[0, 0, 0]]
    assert [counts.requests for _, counts in table.totals()] == [1]


def test_the_minutes_of_the_last_hour_are_those_in_which_requests_ended():
    table = Table(NOW - 3600)
    for minute in range(60):
        at = NOW - 3600 + 60 * minute
        table.roll(at)
        table.add(row(), at, Counts(requests=minute + 1))
    table.roll(NOW)
    found = {time: counts.requests for time, counts in table.minutes(lambda _: True)}
    assert len(found) == SIZES[1]
    first = int(NOW - 3600) // 60 * 60
    assert [found[first + 60 * minute] for minute in range(60)] == [*range(1, 61)]


def test_a_line_that_is_read_late_is_counted_when_it_ended():
    table = Table(NOW)
    table.add(row(), NOW - 300, Counts(requests=1))
    table.add(row(), NOW - 2 * DAY, Counts(requests=1))
    assert [requests(table, each) for each in (MINUTE, TEN_MINUTES, DAY)] == [0, 1, 1]
    assert [counts.requests for _, counts in table.totals()] == [2]


def test_a_clock_that_is_set_back_loses_nothing_and_raises_no_rate():
    table = Table(NOW)
    table.add(row(), NOW, Counts(requests=5))
    table.roll(NOW - 7200)
    assert [requests(table, each) for each in (MINUTE, DAY)] == [0, 5]
    table.add(row(), NOW - 7200, Counts(requests=1))
    table.add(row(), NOW, Counts(requests=1))  # the future is now
    assert [requests(table, each) for each in (MINUTE, DAY)] == [2, 7]


def test_a_clock_that_jumps_ahead_keeps_the_totals():
    table = Table(NOW)
    table.add(row(), NOW, Counts(requests=5))
    table.roll(NOW + 365 * DAY)
    assert requests(table) == 0
    table.add(row(), NOW + 365 * DAY, Counts(requests=1))
    assert requests(table, MINUTE) == 1
    assert [counts.requests for _, counts in table.totals()] == [6]


def test_what_was_dumped_is_loaded_the_same():
    table = Table(NOW)
    for age in range(0, 7200, 40):
        table.roll(NOW + age)
        table.add(row(age % 7), NOW + age, Counts(requests=1, times={age: 2}))
    again = Table.load(*table.dump())
    assert again.dump() == table.dump()
    assert again.window(DAY) == table.window(DAY)


def test_rows_of_instances_that_ended_become_one_of_their_slot_and_rows_of_no_site_end():
    table = Table(NOW)
    for number in (1, 2):
        table.add(row(instance=f"web.3.{number}"), NOW, Counts(requests=number))
    table.fold(lambda _: "web.3", lambda _: True)
    assert [(each.instance, c.requests) for each, c in table.totals()] == [("web.3", 3)]
    table.roll(NOW + 2 * DAY)
    table.fold(lambda name: name, lambda _: False)
    assert len([*table.totals()]) == 1
    table.fold(lambda name: name, lambda _: True)
    assert [*table.totals()] == []


@pytest.mark.slow
def test_20_instances_and_10_sites_with_a_full_day_take_less_than_1_mb():
    """So that ten times as many take less than 10 MB: each row has memory of its own."""
    chance = random.Random(1)

    def times():
        return {
            bucket(round(chance.lognormvariate(4, 0.5))): chance.randint(1, 90) for _ in range(60)
        }

    def minute(number):
        upstream = times() if number < 20 else {}
        sizes = {
            "bytes_in": 1 << 20,
            "bytes_out": 1 << 22,
            "time": 1 << 18,
            "upstream_time": 1 << 18,
        }
        return Counts(
            4000, [0, 0, 3900, 50, 50, 0], times=times(), upstream_times=upstream, **sizes
        )

    tracemalloc.start()
    table = Table(NOW)
    counts = [minute(number) for number in range(30)]
    steps = [*range(0, DAY, 3600), *range(DAY, DAY + 3600, 60), *range(DAY + 3600, DAY + 3670, 10)]
    for step in steps:
        table.roll(NOW + step)
        for number, each in enumerate(counts):
            table.add(row(number), NOW + step - 11, each)
    del counts
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 1_000_000
