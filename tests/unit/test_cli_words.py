from __future__ import annotations

import io

import pytest

from portico.cli.formatting import count_text, duration, size
from portico.cli.terminal import Terminal
from portico.core.model.moments import moment


class Screen(io.StringIO):
    """Standard output on a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (59.9, "59s"), (60, "1m"), (125, "2m 5s"), (3600, "1h"), (90061, "1d 1h")],
)
def test_a_length_of_time_has_two_units_at_most(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KB"),
        (45 << 20, "45.0 MB"),
        (1 << 50, "1024.0 TB"),
    ],
)
def test_a_size_is_in_the_largest_unit_that_fits(count, text):
    assert size(count) == text


def test_a_moment_is_in_utc_and_says_so():
    assert moment(1e9) == "2001-09-09 01:46:40 UTC"
    assert moment(float("inf")) == "never"
    assert count_text(1, "app") + count_text(0, "site") == "1 app0 sites"


def table(out, environ):
    Terminal(out, io.StringIO(), environ).table(
        ("app", "pid", "state"),
        [("web", "12", "ready"), ("worker", "-", "failed")],
        {"ready": "green", "failed": "red"},
    )
    return out.getvalue()


def test_columns_are_as_wide_as_they_must_be():
    assert table(io.StringIO(), {}).splitlines() == [
        "app     pid  state",
        "web      12  ready",
        "worker    -  failed",
    ]


def test_colour_is_for_terminals_that_want_it():
    assert "\x1b[32mready \x1b[0m" in table(Screen(), {"TERM": "xterm"})
    assert "\x1b" not in table(Screen(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert "\x1b" not in table(Screen(), {"TERM": "dumb"})
    assert "\x1b" not in table(io.StringIO(), {"TERM": "xterm"})
