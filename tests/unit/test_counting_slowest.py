from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.counting.lines import Line
from portico.core.counting.slowest import (
    MAX_PATH_LENGTH,
    MAX_PATHS,
    MAX_SITES,
    SlowestRequests,
    normal_path,
)

NOW = 1_900_000_000.0


def line(seconds, uri="/a", status=200, method="GET", time=""):
    return Line(time, status, seconds, "", "", method=method, uri=uri)


def paths(slowest, site="a.test"):
    return [(each.slowest.path, each.slowest.seconds, each.requests) for each in slowest.of(site)]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/items/4711?page=2", "/items/:id"),
        ("/", "/"),
        ("/v1/users/0af7651916cd43dd8448eb211c80319c/", "/v1/users/:id/"),
        ("/o/6f9619ff-8b86-d011-b42d-00cf4fc964ff/x", "/o/:id/x"),
        ("/verify/eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "/verify/:id"),
        ("/assets/main.css", "/assets/main.css"),
        ("*", "*"),
        ("/" + "x" * 999, "/" + "x" * (MAX_PATH_LENGTH - 1)),
    ],
)
def test_numbers_and_keys_in_a_path_are_all_one(uri, expected):
    assert normal_path(uri) == expected


@given(st.text(max_size=4000))
def test_any_path_is_bounded_and_has_no_query(uri):
    path = normal_path(uri)
    assert len(path) <= MAX_PATH_LENGTH
    assert "?" not in path


def test_the_slowest_requests_are_shown_by_path_and_a_websocket_is_none():
    slowest = SlowestRequests()
    slowest.add("a.test", [line(0.5, "/x/1"), line(0.1), line(900.0, "/ws", 101)], NOW)
    slowest.add("a.test", [line(0.7, "/x/2"), line(0.2, method="POST")], NOW + 1)
    assert paths(slowest) == [("/x/:id", 0.7, 2), ("/a", 0.2, 1), ("/a", 0.1, 1)]
    assert paths(slowest, "b.test") == []


def test_they_are_forgotten_after_an_hour_and_when_the_clock_is_set_back():
    slowest = SlowestRequests()
    slowest.add("a.test", [line(3.0, "/old")], NOW)
    slowest.add("a.test", [line(1.0, "/new")], NOW + 3000)
    slowest.forget(NOW + 3000)
    assert [path for path, *_ in paths(slowest)] == ["/old", "/new"]
    slowest.forget(NOW + 5000)
    assert [path for path, *_ in paths(slowest)] == ["/new"]
    slowest.forget(NOW - 86400)
    assert paths(slowest) == []


def test_a_line_that_is_read_late_is_of_the_time_when_its_request_ended():
    slowest = SlowestRequests()
    late = line(1.0, "/late", time="2030-03-17T17:16:40+00:00")
    of_yesterday = line(2.0, "/yesterday", time="2030-03-16T17:46:40+00:00")
    slowest.add("a.test", [late, of_yesterday], NOW)
    assert [(each.slowest.path, each.slowest.at) for each in slowest.of("a.test")] == [
        ("/late", NOW - 1800)
    ]


def test_their_memory_is_bounded_whatever_clients_ask_for():
    slowest = SlowestRequests()
    for number in range(MAX_SITES + 50):
        many = [line(n / 1000, f"/p{n}x") for n in range(200)]
        slowest.add(f"{number}.test", many, NOW)
    assert paths(slowest, f"{MAX_SITES + 1}.test") == []
    assert [seconds for _, seconds, _ in paths(slowest, "7.test")] == [
        (199 - n) / 1000 for n in range(MAX_PATHS)
    ]
