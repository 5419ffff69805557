from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.cli.tail import Tail


@pytest.fixture
def log(tmp_path):
    return tmp_path / "web.log"


def write(path, text):
    with path.open("a") as file:
        file.write(text)


@given(st.lists(st.text("ab", max_size=9), max_size=9), st.booleans(), st.integers(0, 12))
def test_the_last_lines_of_a_file_are_its_last_lines(tmp_path_factory, lines, ended, wanted):
    path = tmp_path_factory.getbasetemp() / "last.log"
    text = "\n".join(lines) + "\n" * ended
    path.write_text(text)
    tail = Tail(path, lines=wanted)
    shown = tail.next_lines() + tail.unended_line()
    tail.close()
    written = text.split("\n")
    if not written[-1]:
        written.pop()
    assert shown == written[len(written) - wanted :] if wanted < len(written) else shown == written


def test_the_last_lines_are_found_over_many_blocks(log):
    write(log, "".join(f"{n} {'x' * 999}\n" for n in range(1000)))
    tail = Tail(log, lines=300)
    lines = tail.next_lines()
    tail.close()
    assert [line.split()[0] for line in lines] == [str(n) for n in range(700, 1000)]


def test_lines_of_an_earlier_process_are_apart_from_those_of_this_one(log):
    write(log, "one\ntwo\n")
    since = log.stat().st_size
    write(log, "three\n")
    for lines, earlier, later in (
        (9, ["one", "two"], ["three"]),
        (2, ["two"], ["three"]),
        (1, [], ["three"]),
        (0, [], []),
    ):
        tail = Tail(log, lines=lines, since=since)
        assert (tail.earlier, tail.next_lines()) == (earlier, later)
        tail.close()


def test_a_line_comes_when_it_is_whole(log):
    write(log, "one\ntw")
    tail = Tail(log, lines=9)
    assert tail.next_lines() == ["one"]
    write(log, "o\nthr")
    assert tail.next_lines() == ["two"]
    assert tail.unended_line() == ["thr"]
    tail.close()


def test_a_file_that_was_renamed_is_read_to_its_end_before_the_new_one(log):
    write(log, "one\n")
    tail = Tail(log, lines=9)
    write(log, "two\n")
    log.rename(f"{log}.1")
    write(Path(f"{log}.1"), "three\n")
    assert tail.next_lines() == ["one", "two", "three"]
    write(log, "four\n")
    assert tail.next_lines() == ["four"]
    tail.close()


def test_a_file_that_was_truncated_is_read_from_its_beginning(log):
    write(log, "one\ntwo\n")
    tail = Tail(log, lines=9)
    assert tail.next_lines() == ["one", "two"]
    os.truncate(log, 0)
    write(log, "new\n")
    assert tail.next_lines() == ["new"]
    tail.close()


def test_a_file_that_is_not_there_yet_is_waited_for(log):
    tail = Tail(log, lines=9)
    assert tail.next_lines() == []
    write(log, "first\n")
    assert tail.next_lines() == ["first"]
    tail.close()


def test_what_is_no_text_is_kept_byte_by_byte(log):
    log.write_bytes(b"\xff\xfe\r\n")
    tail = Tail(log, lines=1)
    assert tail.next_lines() == ["\udcff\udcfe\r"]
    tail.close()
