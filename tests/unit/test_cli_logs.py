"""When lines were written, and what `portico logs` shows of files by time and by pattern."""

from __future__ import annotations

import gzip
import os
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.cli.log_history import LineFilter, history
from portico.core.model.log_line import merge_lines
from portico.core.model.log_times import time_of
from portico.core.model.moments import moment
from portico.system.account import Account
from tests.examples import examples

NOON = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2026-11-29T12:00:00Z GET /", NOON),
        ("[2026-11-29 13:00:00,250+01:00] INFO", NOON + 0.25),
        ("INFO 2026-11-29 12:00:00 UTC started", NOON),
        ('127.0.0.1 - - [29/Nov/2026:13:00:00 +0100] "GET / HTTP/1.1" 200', NOON),
        ('{"level": 30, "time": 1795953600500}', NOON + 0.5),
        ('{"msec": "1795953600.500", "status": 200}', NOON + 0.5),
        ('{"timestamp": "2026-11-29T12:00:00.000Z"}', NOON),
        ("2026-13-29T12:00:00Z", None),
        ("at 12:00 nothing", None),
        ('{"time": true}', None),
        ('{"time": 1e999}', None),
        ("{" * 50_000, None),
        ("", None),
    ],
)
def test_a_line_says_its_time_in_the_ways_that_programs_write_it(line, expected):
    assert time_of(line) == expected


def test_a_time_without_an_offset_is_local():
    local = datetime.fromtimestamp(NOON).astimezone()
    assert time_of(f"{local:%Y/%m/%d %H:%M:%S} [error] 7#7") == NOON


@examples(60)
@given(st.text(max_size=80))
def test_any_line_has_a_time_or_none(line):
    assert time_of(line) is None or time_of(line) >= -1e12


@pytest.fixture
def log(tmp_path):
    """Six lines, a minute apart from noon, in a file and two older ones, one compressed."""
    path = tmp_path / "web.log"
    with gzip.open(tmp_path / "web.log.2.gz", "wt") as file:
        file.write(lines(0, 1))
    (tmp_path / "web.log.1").write_text(lines(2, 3))
    path.write_text(lines(4, 5))
    for each, minute in ((".2.gz", 1), (".1", 3), ("", 5)):
        os.utime(tmp_path / f"web.log{each}", (NOON + 60 * minute,) * 2)
    return path


def lines(*minutes):
    return "".join(f"{moment(NOON + 60 * n)} line {n}\n" for n in minutes)


def shown(path, *, end=1 << 30, **wanted):
    found = history(path, Account(), LineFilter(**wanted), end)
    return [int(line.text.rpartition(" ")[2]) for line in found]


def test_what_looks_back_reads_rotated_files_too(log):
    assert shown(log) == [4, 5]
    assert shown(log, since=0.0) == [0, 1, 2, 3, 4, 5]
    assert shown(log, since=NOON + 60, until=NOON + 240) == [1, 2, 3]
    assert shown(log, pattern=re.compile("line [035]")) == [0, 3, 5]
    assert shown(log, pattern=re.compile("line [035]"), count=2) == [3, 5]
    assert shown(log, end=log.stat().st_size // 2) == [4]


def test_a_damaged_or_missing_file_leaves_the_others(log):
    packed = log.with_name("web.log.2.gz")
    packed.write_bytes(packed.read_bytes()[:-12])
    assert shown(log, since=0.0)[-4:] == [2, 3, 4, 5]
    packed.write_bytes(b"not gzip")
    assert shown(log, since=0.0) == [2, 3, 4, 5]
    log.unlink()
    assert shown(log, since=0.0) == [2, 3]


def test_files_that_were_written_last_before_then_are_not_read(log):
    os.utime(log.with_name("web.log.1"), (1.0, 1.0))
    assert shown(log, since=NOON - 60) == [4, 5]


def test_lines_without_a_time_have_that_of_the_line_before_or_of_the_file(tmp_path):
    path = tmp_path / "web.log"
    path.write_text(f"plain\n{moment(NOON)} one\n  traceback\n{moment(NOON - 9)} clock set back\n")
    os.utime(path, (7.0, 7.0))
    found = [(each.at, each.is_exact) for each in history(path, Account(), LineFilter(), 1 << 30)]
    assert found == [(7.0, False), (NOON, True), (NOON, True), (NOON, True)]


@given(st.lists(st.lists(st.integers(0, 50)), max_size=4))
def test_merged_lines_are_in_order_and_none_is_lost(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("merged")
    sources = []
    for number, minutes in enumerate(files):
        (folder / str(number)).write_text(lines(*sorted(minutes)))
        sources.append(history(folder / str(number), Account(), LineFilter(), 1 << 30))
    found = [(line.at, number) for number, line in merge_lines(sources)]
    assert found == sorted(found)
    expected = sorted((NOON + 60 * n, k) for k, minutes in enumerate(files) for n in minutes)
    assert found == expected
