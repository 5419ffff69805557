"""The rows of `portico top`: filtered, sorted, and with what they had lately."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.cli.top.rows import (
    ABSENT,
    BARS,
    COLUMNS,
    HEADS,
    SAMPLES,
    Graphs,
    Order,
    Row,
    bars,
    first_column,
    matches,
    rows_of,
)
from portico.core.model.views import AppView
from tests.unit.top_views import instance, status

APP = {
    "name": "jobs",
    "project": "shop",
    "state": "stopped",
    "instances": (),
    "wanted": 0,
    "balance": "",
    "command": "",
    "cwd": "",
}


def row(slot=1, *, project="shop", **more):
    one = instance(slot, **more)
    return Row(project, "web", one, one.state)


def cells(shown):
    return {column.head: column.text(shown) for column in COLUMNS}


def sorted_by(head, rows, *, is_reversed=False):
    order = Order(HEADS.index(head), is_reversed)
    return [each.instance.slot for each in order.apply(rows)]


def test_a_row_has_both_sides_of_an_instance():
    assert cells(row(3, rate=12.34)) == {
        "machine": "",
        "project": "shop",
        "instance": "web.3",
        "state": "ready",
        "pid": "103",
        "port": "2003",
        "restarts": "0",
        "uptime": "1m",
        "cpu": "1.5%",
        "memory": "1.0 MB",
        "req/s": "12.3",
        "p50": "4ms",
        "p95": "200ms",
        "p99": "300ms",
        "5xx": "1",
    }


def test_machines_and_projects_are_shown_where_there_are_some():
    one = AppView(**(APP | {"instances": (instance(1),)}))
    placed = AppView(**(APP | {"instances": (instance(1, machine="m1"),)}))
    shown = [
        HEADS[first_column(status([each], projects))]
        for each, projects in ((one, ("shop",)), (one, ("shop", "blog")), (placed, ("shop",)))
    ]
    assert shown == ["instance", "project", "machine"]


def test_what_is_not_known_is_a_dash():
    shown = cells(row(pid=None, port=0))
    assert {shown[head] for head in ("pid", "port", "uptime", "req/s", "p50", "5xx")} == {ABSENT}


def test_an_app_without_instances_is_a_row_of_its_own():
    [shown] = rows_of(status([AppView(**APP)]))
    assert (shown.name, shown.state, cells(shown)["memory"]) == ("shop/jobs", "stopped", ABSENT)


def test_numbers_are_sorted_with_the_largest_first_and_names_from_a():
    rows = [row(1, rate=2.0), row(2, rate=30.0), row(3, rate=None), row(4, rate=0.0)]
    assert sorted_by("req/s", rows) == [2, 1, 4, 3]
    assert sorted_by("req/s", rows, is_reversed=True) == [4, 1, 2, 3]
    assert sorted_by("instance", rows) == [1, 2, 3, 4]
    assert sorted_by("state", [row(1), row(2, state="backoff")]) == [2, 1]


@given(st.lists(st.integers(-3, 3)), st.integers(0, 2))
def test_the_order_is_always_of_a_column_that_is_shown(moves, first):
    order = Order()
    for by in moves:
        order.move(by, first)
        assert first <= order.column < len(COLUMNS)


@pytest.mark.parametrize(
    ("words", "shown"),
    [("", True), ("web", True), ("SHOP ready", True), ("web.1", True), ("web blog", False)],
)
def test_a_row_is_shown_that_has_all_words(words, shown):
    assert matches(row(1), words) == shown


@given(st.lists(st.floats(0, 1e6)))
def test_a_graph_has_a_bar_for_each_value_and_the_highest_for_the_largest(values):
    drawn = bars(values)
    assert len(drawn) == len(values)
    assert all((bar == BARS[0]) == (value == 0) for bar, value in zip(drawn, values, strict=True))
    if any(values):
        assert drawn[values.index(max(values))] == BARS[-1]


def test_graphs_keep_so_many_samples_and_forget_rows_that_are_gone():
    graphs = Graphs()
    for rate in range(SAMPLES + 5):
        graphs.add([row(1, rate=float(rate)), row(2, rate=1.0)])
    assert len(graphs.of(row(1))) == SAMPLES
    graphs.add([row(1, rate=1.0)])
    assert graphs.of(row(2)) == ""
