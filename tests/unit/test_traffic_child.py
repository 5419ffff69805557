"""The child that counts, on real files, with a clock of the test's own."""

from __future__ import annotations

import json
import os
import resource
import signal
from contextlib import contextmanager

import pytest

from portico.adapters.traffic.child.counter import Counter, Layout
from portico.adapters.traffic.child.exposition import exposition
from portico.adapters.traffic.child.logs import QUIET_TIME
from portico.core.counting.lines import LoggedSite

NOW = 1_900_000_000.0


class Clock:
    def __init__(self):
        self.wall, self.since_boot = NOW, 5000.0

    def now(self):
        return self.wall

    def monotonic(self):
        return self.since_boot

    def wait(self, seconds):
        self.wall += seconds
        self.since_boot += seconds


class Place:
    def __init__(self, folder):
        self.log, self.store, self.clock = folder / "a.access.log", folder / "traffic", Clock()
        self.log.touch()
        self.counter = self.started()

    def started(self):
        """As after a kill of the one before."""
        counter = Counter(self.store, self.clock)
        sites = {str(self.log): LoggedSite("shop", "a.test", {"": "web"})}
        counter.arrange(Layout(sites, [(1001, NOW - 60, "web", "web.1.1")]))
        return counter

    def write(self, count, to=None, end=b"\n"):
        line = {
            "time": "2030-03-17T17:46:40+00:00",
            "status": 200,
            "request_time": 0.02,
            "upstream_addr": "127.0.0.1:1001",
            "upstream_response_time": "0.01",
        }
        with (to or self.log).open("ab") as file:
            file.write((json.dumps(line).encode() + b"\n") * (count - 1))
            file.write(json.dumps(line).encode() + end)

    def read(self):
        for _ in self.counter.read():
            pass
        return sum(counts.requests for _, counts in self.counter.table.totals())

    def rotate(self):
        older = self.log.with_name(f"{self.log.name}.1")
        if older.exists():
            older.rename(self.log.with_name(f"{self.log.name}.2"))
        return self.log.rename(older)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_what_is_written_is_counted_once(place):
    place.write(3)
    assert [place.read(), place.read()] == [3, 3]
    place.write(2)
    assert place.read() == 5
    assert place.counter.backlog() == (0, 0.0)


def test_a_long_backlog_is_stored_while_it_is_read(place):
    place.write(20_000)
    steps = place.counter.read()
    next(steps)
    place.clock.wait(11)
    next(steps)
    place.counter = place.started()  # the one before was killed here
    assert place.store.exists()
    assert place.read() == 20_000


def test_a_log_that_was_rotated_before_anything_was_counted_is_found_after_a_kill(place):
    place.write(3)
    place.rotate()
    place.write(2)
    place.counter = place.started()
    assert (place.read(), place.counter.gaps) == (5, 0)


def test_a_log_that_was_rotated_before_it_was_looked_at_once_is_counted_from_then_on(tmp_path):
    """The daemon was killed before it had said which logs there are, and the next one rotated."""
    place = Place(tmp_path)
    for age, lines in (
        (-60, 4),
        (1, 3),
    ):  # what was there before there was counting is not counted
        place.write(lines)
        os.utime(place.rotate(), (NOW + age, NOW + age))
    place.store.unlink()
    Counter(place.store, place.clock)
    place.clock.wait(5)
    place.write(2)
    place.counter = place.started()
    assert (place.read(), place.counter.gaps) == (5, 0)


def test_half_a_line_is_counted_when_it_is_whole(place):
    place.write(2, end=b"")
    assert place.read() == 1
    with place.log.open("ab") as file:
        file.write(b"\n")
    assert (place.read(), place.counter.unreadable) == (2, 0)


def test_lines_that_are_not_ours_are_said_and_the_others_counted(place):
    place.write(1)
    with place.log.open("ab") as file:
        file.write(b"GET / by somebody else\n" + b"x" * (3 << 20) + b"\n")
    place.write(1)
    assert place.read() == 2
    assert place.counter.unreadable > 1
    assert "portico_access_log_unreadable_lines_total" in exposition(place.counter)


def test_after_a_rotation_the_old_file_is_read_as_long_as_it_is_written_to(place):
    place.write(1)
    place.read()
    old = place.rotate()
    place.write(2, old)
    assert place.read() == 3
    place.write(1)
    place.clock.wait(QUIET_TIME - 1)
    place.write(1, old)
    assert place.read() == 5
    for _ in range(2):
        place.clock.wait(QUIET_TIME + 1)
        place.read()
    place.write(1, old)
    place.write(1)
    assert place.read() == 6  # long after its last writer
    assert place.counter.gaps == 0


def test_after_a_kill_it_goes_on_where_what_it_stored_ends_over_rotations(place):
    place.write(5)
    place.read()
    place.counter.save()
    place.write(2)
    place.read()  # and is killed before it stores that
    place.rotate()
    place.write(3)
    os.utime(place.log, (NOW + 5, NOW + 5))
    place.rotate()
    place.write(4)
    place.counter = place.started()
    assert (place.read(), place.counter.gaps) == (14, 0)
    place.counter.save()
    place.counter = place.started()
    assert (place.read(), place.counter.gaps) == (14, 0)


def test_a_log_that_was_removed_before_it_was_read_is_said(place):
    place.write(5)
    place.read()
    place.counter.save()
    place.log.unlink()
    (place.log.parent / "takes its inode").touch()
    place.write(2)
    place.counter = place.started()
    assert (place.read(), place.counter.gaps) == (7, 1)


def test_a_log_that_is_removed_or_replaced_is_read_to_its_end(place):
    with place.log.open("ab") as held:
        place.write(1)
        place.read()
        place.log.unlink()
        held.write(b"not ours\n")
        held.flush()
        place.read()
        assert place.counter.unreadable == 1
    place.write(2)
    assert (place.read(), place.counter.gaps) == (3, 0)


def test_a_log_that_was_truncated_is_read_from_its_beginning_and_said(place):
    place.write(5)
    place.read()
    os.truncate(place.log, 0)
    place.write(1)
    assert (place.read(), place.counter.gaps) == (6, 1)


def test_what_cannot_be_stored_is_counted_and_said(place):
    place.write(5)
    with full_disk():
        place.read()
        place.counter.save()
        assert place.counter.unsaved == "File too large"
    place.write(1)
    assert place.read() == 6
    place.counter.save()
    assert place.counter.unsaved == ""
    place.counter = place.started()
    assert place.read() == 6


@contextmanager
def full_disk():
    """Files may not grow: the same for who writes, with another word of the system."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_a_damaged_store_begins_again_with_the_log(place):
    place.write(5)
    place.read()
    place.counter.save()
    place.store.write_bytes(place.store.read_bytes()[:-3])
    place.counter = place.started()
    assert place.read() == 5


def test_a_clock_that_jumps_loses_no_request(place):
    place.write(2)
    place.read()
    for seconds in (-86400, 10 * 86400, -3600):
        place.clock.wall += seconds
        place.write(1)
        place.read()
    assert place.read() == 5


def test_an_instance_that_ended_is_known_for_a_while_and_then_counted_with_its_slot(place):
    place.counter.arrange(Layout(None, []))
    place.write(1)
    place.read()
    names = [row.instance for row, _ in place.counter.table.totals()]
    for _ in range(2):
        place.clock.wait(700)
        place.read()
    assert (names, [row.instance for row, _ in place.counter.table.totals()]) == (
        ["web.1.1"],
        ["web.1"],
    )


def test_a_site_that_comes_back_goes_on_where_it_was(place):
    place.write(2)
    place.read()
    sites = {str(place.log): LoggedSite("shop", "a.test")}
    place.counter.arrange(Layout({}, []))
    place.write(1)
    assert place.read() == 2
    place.counter.arrange(Layout(sites, []))
    assert place.read() == 3


def test_connections_of_streams_have_metrics_of_their_own(place):
    stream = place.log.with_name("_stream_5432.access.log")
    connection = {
        "time": "2030-03-17T17:46:40+00:00",
        "status": 200,
        "bytes_sent": 7,
        "bytes_received": 3,
        "session_time": 1.5,
        "upstream_addr": "127.0.0.1:1001",
        "upstream_connect_time": "0.001",
    }
    stream.write_text(json.dumps(connection) + "\nnot a line\n")
    sites = {str(stream): LoggedSite("shop", "stream 5432", {"": "shop/web"})}
    place.counter.arrange(Layout(sites, [(1001, NOW - 60, "shop/web", "shop/web.1.1")]))
    assert place.read() == 1
    text = exposition(place.counter)
    labels = 'project="shop",stream="5432",app="web",instance="web.1"'
    assert f'portico_stream_connections_total{{{labels},code="2xx"}} 1\n' in text
    assert f"portico_stream_received_bytes_total{{{labels}}} 3\n" in text
    assert f"portico_stream_session_duration_seconds_sum{{{labels}}} 1.5\n" in text
    assert "portico_http_requests_total" not in text
    assert place.counter.unreadable == 1


def test_handshakes_are_kept_over_a_kill(place):
    line = {
        "time": "2030-03-17T17:46:40+00:00",
        "status": 200,
        "request_time": 0.02,
        "upstream_addr": "",
        "upstream_response_time": "",
        "tls": "TLSv1.3",
        "connection_requests": 1,
    }
    place.log.write_text(json.dumps(line) + "\n")
    place.read()
    place.counter.save()
    assert 'portico_nginx_handshakes_total{site="a.test"} 1\n' in exposition(place.started())
