from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from portico.core.model.cron import parse_cron
from portico.core.planning.schedule import MAX_LATENESS, advance, next_moment, set_timer

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


@pytest.mark.parametrize(
    ("expression", "after", "moment"),
    [
        ("0 4 * * *", "2026-06-01 03:59:59", "2026-06-01 04:00"),
        ("0 4 * * *", "2026-06-01 04:00:00", "2026-06-02 04:00"),
        ("*/5 * * * *", "2026-06-01 04:00:01", "2026-06-01 04:05"),
        ("30 9 * * MON-FRI", "2026-06-05 10:00", "2026-06-08 09:30"),
        ("0 0 29 2 *", "2026-06-01 00:00", "2028-02-29 00:00"),
        # clocks go from 02:00 to 03:00
        ("30 2 * * *", "2026-03-29 01:00", "2026-03-29 03:00"),
        ("*/20 * * * *", "2026-03-29 01:50", "2026-03-29 03:00"),
    ],
)
def test_the_next_moment(expression, after, moment):
    assert next_moment(expression, at(after), BERLIN) == at(moment)


def test_what_comes_twice_on_the_longest_day_of_the_year_runs_once():
    first = next_moment("30 2 * * *", at("2026-10-25 02:00"), BERLIN)
    assert first == at("2026-10-25 02:30")
    timer = set_timer("30 2 * * *", first, BERLIN)
    struck = 0
    for minute in range(1, 240):
        timer, due = advance(timer, first + 60 * minute, BERLIN)
        struck += due
    assert struck == 0


def test_each_moment_is_due_once():
    timer = set_timer("*/5 * * * *", at("2026-06-01 04:01"), BERLIN)
    found = []
    for second in range(0, 1000, 2):
        now = at("2026-06-01 04:01") + second
        timer, due = advance(timer, now, BERLIN)
        found += [now] if due else []
    assert found == [at(f"2026-06-01 04:{minute}") for minute in ("05", "10", "15")]


def test_a_moment_that_was_missed_is_not_made_up_for():
    timer = set_timer("0 4 * * *", at("2026-06-01 03:00"), BERLIN)
    timer, due = advance(timer, at("2026-06-01 04:00") + MAX_LATENESS + 1, BERLIN)
    assert not due
    assert timer.due == at("2026-06-02 04:00")


def test_a_clock_set_on_by_a_day_strikes_nothing_that_it_jumped_over():
    timer = set_timer("0 4 * * *", at("2026-06-01 03:00"), BERLIN)
    timer, due = advance(timer, at("2026-06-02 03:00"), BERLIN)
    assert not due
    assert timer.due == at("2026-06-02 04:00")


def test_a_clock_set_back_by_a_day_is_followed():
    timer = set_timer("0 4 * * *", at("2026-06-02 03:00"), BERLIN)
    timer, due = advance(timer, at("2026-06-01 03:00"), BERLIN)
    assert not due
    assert timer.due == at("2026-06-01 04:00")
    assert advance(timer, at("2026-06-01 04:00"), BERLIN)[1]


@pytest.mark.parametrize(
    ("text", "expression"),
    [("0 4 * * *", "0 4 * * *"), (" 0  4 * * sun ", "0 4 * * sun"), ("@Daily", "0 0 * * *")],
)
def test_an_expression_is_read(text, expression):
    assert parse_cron(text) == expression


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", ""),
        ("every day", ""),
        ("0 4 * *", ""),
        ("0 0 4 * * *", ""),
        ("60 4 * * *", "its minute is wrong"),
        ("0 24 * * *", "its hour is wrong"),
        ("0 4 * * FUNDAY", "its day-of-week is wrong"),
        ("*/0 * * * *", "its minute is wrong"),
        ("0 0 30 2 *", "its day-of-month is wrong"),
        ("@reboot", ""),
    ],
)
def test_what_is_no_expression_is_said(text, wrong):
    with pytest.raises(ValueError, match="must be a cron expression of five fields") as caught:
        parse_cron(text)
    assert wrong in str(caught.value)
