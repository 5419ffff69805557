"""Tables that fit the terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portico.cli.column_layout import GAP, MIN_NAME, fit_table, shorten

HEADS = ("app", "instance", "pid", "state")
ROW = ("a-shop-with-a-long-name", "a-shop-with-a-long-name.12.345", "4711", "ready")
NAMES = ("app", "instance")


def width(heads, rows):
    columns = zip(heads, *rows, strict=True)
    return sum(max(map(len, each)) for each in columns) + GAP * (len(heads) - 1)


def test_what_fits_is_left_as_it_is():
    assert fit_table(HEADS, [ROW], 80, NAMES, ("pid",)) == (list(HEADS), [list(ROW)])


def test_names_lose_their_middle_first_and_then_columns_that_can_be_spared_are_left_out():
    heads, [row] = fit_table(HEADS, [ROW], 60, NAMES, ("pid",))
    assert (tuple(heads), width(heads, [row])) == (HEADS, 59)
    assert row[1].startswith("a-shop-wi")
    assert row[1].endswith(".12.345")
    heads, [row] = fit_table(HEADS, [ROW], 42, NAMES, ("pid", "state"))
    assert heads == ["app", "instance", "state"]


@given(st.integers(1, 90))
def test_a_table_is_no_wider_than_the_terminal_or_as_narrow_as_it_can_be(columns):
    heads, rows = fit_table(HEADS, [ROW], columns, NAMES, ("pid",))
    narrowest = 2 * MIN_NAME + len("ready") + 2 * GAP
    assert width(heads, rows) <= max(columns, narrowest)


@given(st.text(), st.integers(1, 30))
def test_a_name_is_shortened_to_its_length(text, length):
    short = shorten(text, length)
    assert len(short) == min(len(text), length)
    assert short == text or "…" in short
