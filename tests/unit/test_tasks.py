"""A fault in one task stays in it, and is said."""

from __future__ import annotations

import asyncio
import json
import logging
from functools import partial

from portico.daemon.deaths import Deaths
from portico.engine.safe_mode import MAX_DEATHS, SafeMode
from portico.engine.tasks import MAX_PAUSE, Tasks
from portico.engine.troubles import Troubles
from portico.errors import Failed
from tests.fakes.clock import FakeClock


class Daemon:
    """A group of tasks, of which `story` is the one that a daemon ends with."""

    def __init__(self) -> None:
        self.clock, self.troubles = FakeClock(), Troubles()

    def run(self, story) -> None:
        async def life() -> None:
            async with asyncio.TaskGroup() as group:
                self.tasks = Tasks(group, self.troubles, self.clock)
                ending = group.create_task(self._end_after(story()))
            assert ending.done()

        try:
            asyncio.run(life())
        except* _Over:
            pass

    async def _end_after(self, story) -> None:
        await story
        raise _Over


class _Over(Exception):
    pass


BUG = LookupError("nobody foresaw this")


async def bug() -> None:
    raise BUG


async def foreseen() -> None:
    raise Failed("the disk is full")


def test_a_task_that_fails_ends_nothing_but_itself_and_the_log_has_its_traceback(caplog):
    daemon = Daemon()

    async def story() -> None:
        done = asyncio.Event()

        async def other() -> None:
            await daemon.clock.sleep(5)
            done.set()

        daemon.tasks.start("other work", other)
        daemon.tasks.start("work on web", bug, of="web")
        daemon.tasks.start("rotation of out.log", foreseen)
        await daemon.clock.advance(5)
        assert done.is_set()
        assert daemon.troubles.sentences() == [
            f"work on web: internal error (a bug in portico), {BUG!r}; details in porticod.log",
            "rotation of out.log: the disk is full",
        ]

    daemon.run(story)
    (traced,) = [each for each in caplog.records if each.exc_info]
    assert traced.exc_info[1] is BUG


def test_a_trouble_is_over_when_the_same_ends_well_or_when_what_it_is_of_is_gone():
    daemon = Daemon()

    async def story() -> None:
        for of in ("web", "api"):
            daemon.tasks.start(f"work on {of}", bug, of=of)
        await daemon.clock.advance(0)
        daemon.tasks.start("work on web", partial(asyncio.sleep, 0), of="web")
        await daemon.clock.advance(0)
        (said,) = daemon.troubles.sentences()
        assert said.startswith("work on api")
        daemon.troubles.resolve_all_of("api")
        assert daemon.troubles.sentences() == []

    daemon.run(story)


def test_a_periodic_task_goes_on_with_its_next_beat_later_each_time_it_fails():
    daemon, beats = Daemon(), list[float]()
    breaks = True

    async def beat() -> None:
        beats.append(daemon.clock.monotonic())
        if breaks:
            await bug()

    async def story() -> None:
        nonlocal breaks
        daemon.tasks.repeat("upkeep", beat, lambda: daemon.clock.sleep(10))
        await daemon.clock.advance(60)
        assert beats == [0, 11, 23, 37, 55]
        await daemon.clock.advance(3 * MAX_PAUSE)
        assert beats[-1] - beats[-2] <= MAX_PAUSE + 10
        breaks = False
        await daemon.clock.advance(MAX_PAUSE + 10)
        assert daemon.troubles.sentences() == []
        before = len(beats)
        await daemon.clock.advance(100)
        assert len(beats) == before + 10

    daemon.run(story)


def test_the_same_fault_again_and_again_does_not_fill_the_log(caplog):
    caplog.set_level(logging.INFO)
    daemon = Daemon()

    async def story() -> None:
        daemon.tasks.repeat("watching", bug, lambda: daemon.clock.sleep(0.5))
        await daemon.clock.advance(3600)

    daemon.run(story)
    assert len([each for each in caplog.records if "watching" in each.getMessage()]) == 2


# A start that keeps dying


def test_the_deaths_of_a_daemon_are_counted_from_one_process_to_the_next(tmp_path):
    path = tmp_path / "daemon.deaths"
    assert Deaths(path, {}).count(1000.0) == 0
    assert [Deaths(path, {}).add(at) for at in (1000.0, 1001.0, 1002.0)] == [1, 2, 3]
    assert path.stat().st_mode & 0o777 == 0o600
    assert Deaths(path, {}).count(1500.0) == 3
    assert Deaths(path, {}).count(2000.0) == 0, "it has lived for a while since"
    Deaths(path, {}).forget()
    assert Deaths(path, {}).count(1003.0) == 0


def test_deaths_are_counted_where_the_disk_is_full_and_whatever_lies_in_the_file(tmp_path):
    path, environ = tmp_path / "absent" / "daemon.deaths", {}
    assert [Deaths(path, environ).add(at) for at in (1000.0, 1001.0)] == [1, 2]
    broken = tmp_path / "daemon.deaths"
    for text in (b"\xff\x00", b"[", json.dumps({"a": 1}).encode(), b"[null, 1]", b"7"):
        broken.write_bytes(text)
        assert Deaths(broken, {}).count(1.0) == 0


def test_safe_mode_begins_after_some_deaths_is_said_and_ends_with_another_file():
    troubles = Troubles()
    assert not SafeMode(MAX_DEATHS - 1, troubles).is_on
    assert troubles.sentences() == []
    mode = SafeMode(MAX_DEATHS, troubles)
    assert mode.is_on
    (said,) = troubles.sentences()
    assert said.startswith("porticod crashed 3 times in a row and runs in safe mode")
    mode.end()
    assert not mode.is_on
    assert troubles.sentences() == []
