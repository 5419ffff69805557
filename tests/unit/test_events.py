"""What `portico events` asks for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from portico.engine.control.operations import EVENTS_SHOWN, Operations
from portico.errors import Refused


def asked(count):
    """How many are read of the database for this word of a request."""
    limits = []
    state = SimpleNamespace(events=lambda limit, _: limits.append(limit) or [])
    names = SimpleNamespace(names=lambda _: None)
    Operations.events(SimpleNamespace(_state=state, _projects=names), None, count)
    return limits[0]


def test_a_number_of_events_is_read_and_a_hundred_where_none_is_given():
    assert (asked("7"), asked("0"), asked(None)) == (7, 0, EVENTS_SHOWN)


@pytest.mark.parametrize("count", ["", "x", "-1", "1.5", "٣", "9" * 10, "9" * 5000])
def test_what_is_no_number_that_a_database_takes_is_refused(count):
    with pytest.raises(Refused, match="count must be a number below 1,000,000,000"):
        asked(count)
