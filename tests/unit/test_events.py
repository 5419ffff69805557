"""What `portico events` shows: which events there are, and how they are found and followed."""

from __future__ import annotations

import asyncio
import itertools
import math
import os

import pytest
from pydantic import ValidationError

from portico.core.model.event import EventFilter, Requester
from portico.core.model.instance import InstanceState as S
from portico.core.model.moments import moment, parse_moment
from portico.core.model.views import EventView
from portico.core.planning.lifecycle import move_event
from portico.engine.control.read_operations import number_in
from portico.errors import Refused
from portico.system.proc import command_line
from tests.fakes.clock import FakeClock
from tests.fakes.state import MemoryState, events_of
from tests.unit.worlds import one

NOW = 1_800_000_000.0


def test_a_number_of_a_query_is_read():
    assert (number_in("count", "7"), number_in("since", "1.5"), number_in("count", None)) == (
        7,
        1.5,
        None,
    )


@pytest.mark.parametrize("count", ["", "x", "-1", "1.", "٣", "9" * 12, "9" * 5000])
def test_what_is_no_number_that_a_database_takes_is_refused(count):
    with pytest.raises(Refused, match=r"count must be a number below 100,000,000,000"):
        number_in("count", count)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", NOW - 600),
        ("1h30m", NOW - 5400),
        ("2027-01-15", NOW - 8 * 3600),
        ("2027-01-15T08:00", NOW),
        ("2027-01-15 08:00:00 UTC", NOW),
        ("2027-01-15T10:00+02:00", NOW),
        ("2027-01-15T08:00:00Z", NOW),
    ],
)
def test_a_time_is_a_duration_or_a_moment_in_utc(text, expected):
    assert parse_moment(text, NOW) == expected


def test_a_moment_is_read_as_it_is_written():
    assert parse_moment(moment(NOW), 0.0) == NOW


@pytest.mark.parametrize(
    "text", ["", "yesterday", "10", "10x", "m", "2027-13-01", "٣m", "9" * 999]
)
def test_another_time_is_refused_with_what_is_expected(text):
    with pytest.raises(ValueError, match=r'must be a duration such as "10m", or a time in UTC'):
        parse_moment(text, NOW)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01 00:00:00 UTC"),
        (253402300799, "9999-12-31 23:59:59 UTC"),
        (253402300800, "never"),
        (1e18, "never"),
        (1e300, "never"),
        (math.inf, "never"),
        (-1e11, "unknown"),
        (-1e300, "unknown"),
        (-math.inf, "unknown"),
        (math.nan, "unknown"),
    ],
)
def test_any_number_of_another_machine_is_shown(at, text):
    assert moment(at) == text


@pytest.mark.parametrize("at", [math.inf, -math.inf, math.nan])
def test_an_event_without_a_moment_is_none(at):
    """As an answer of the API it would have null there."""
    with pytest.raises(ValidationError):
        EventView.model_validate({"at": at, "kind": "up", "subject": "web", "text": ""})


def test_moves_of_an_instance_are_events_where_its_exit_does_not_say_the_same():
    def moves(*states, reason=""):
        found = [one(state, reason=reason) if state else None for state in states]
        return [move_event(*pair) for pair in itertools.pairwise(found)]

    assert moves(None, S.STARTING, S.READY) == [("state", "starting"), ("state", "ready")]
    assert moves(S.READY, S.UNREADY, reason="timed out") == [("check", "unready: timed out")]
    assert moves(S.UNREADY, S.READY) == [("check", "ready")]
    assert moves(S.BACKOFF, S.FAILED, reason="exited 16 times") == [("failed", "exited 16 times")]
    assert moves(S.READY, S.READY, S.BACKOFF, S.GONE) == [None, None, None]


def test_that_an_instance_is_not_started_again_is_said_with_its_last_lines():
    failed = one(S.FAILED, reason="exited 16 times")
    output = [f"line {n}" for n in range(9)] + ["", "Error: " + "x" * 999]
    kind, text = move_event(one(S.BACKOFF), failed, output)
    assert kind == "failed"
    last = "line 5 | line 6 | line 7 | line 8 | Error: " + "x" * 193
    assert text == f"exited 16 times; it printed last: {last}"


def test_followers_get_what_is_added_and_end_when_the_daemon_exits():
    async def scene():
        state, clock = MemoryState(), FakeClock()
        events = events_of(state, clock)
        events.note("exit", "web.1.1", "before")
        heard = []

        async def follow():
            heard.extend([each.text async for each in events.follow(EventFilter(), 1)])

        async def follow_kind():
            wanted = EventFilter(kinds=("up",))
            heard.extend([each.text async for each in events.follow(wanted, 0)])

        async with asyncio.TaskGroup() as group:
            group.create_task(follow())
            group.create_task(follow_kind())
            await asyncio.sleep(0)
            for n in range(500):
                events.note("exit", "web.1.1", str(n))
            events.note_request("up", "/srv/portico.toml", Requester("ann", 1000, 7, "portico up"))
            for _ in range(5):
                await asyncio.sleep(0)
            events.close()
        return heard

    heard = asyncio.run(scene())
    assert sorted(heard) == sorted([*map(str, range(500)), *["by ann (pid 7)"] * 2])


def test_a_follower_of_a_database_that_was_lost_gets_the_events_of_the_new_one():
    async def scene():
        state = MemoryState()
        events = events_of(state, FakeClock())
        events.note("exit", "web.1.1", "the first of the new file")
        return (await anext(events.follow(EventFilter(), after=5000))).text

    assert asyncio.run(scene()) == "the first of the new file"


def test_who_asked_is_an_event_with_user_and_command():
    state = MemoryState()
    by = Requester("ann", 1000, 7, "portico scale web 3")
    events_of(state, FakeClock()).note_request("scale", "web", by, "3")
    [event] = state.recorded
    assert (event.text, event.uid, event.command) == ("3, by ann (pid 7)", 1000, by.command)


def test_a_command_line_is_without_its_interpreter():
    assert not command_line(os.getpid()).startswith("python")
    assert command_line(2**22) == ""
