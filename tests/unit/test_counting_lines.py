from __future__ import annotations

import json

import pytest

from portico.core.counting.counts import Counts
from portico.core.counting.lines import LoggedSite, Owner, handshakes, owner_of, parse, tally

SITE = LoggedSite("shop", "a.test", {"": "web", "/api": "api"})
OWNERS = {
    1001: [Owner(0.0, "web", "web.1.1"), Owner(1000.0, "web", "web.1.3")],
    1002: [Owner(0.0, "web", "web.2.2")],
}


def line(**fields):
    known = {
        "time": "1970-01-01T00:01:40+00:00",
        "status": 200,
        "request_time": 0.012,
        "upstream_addr": "127.0.0.1:1001",
        "upstream_response_time": "0.010",
        "request_length": 100,
        "bytes_sent": 500,
        "route": "",
        "uri": '/é"\\n',
    }
    return json.dumps(known | fields).encode() + b"\n"


def counted(*lines):
    found, unreadable = tally(parse(b"".join(lines)).found, SITE, OWNERS)
    return {(row.app, row.instance, row.route): counts for row, _, counts in found}, unreadable


def test_a_request_is_counted_for_the_instance_that_answered():
    rows, _ = counted(line(), line(status=503), line(status=9, request_time=1.5))
    (counts,) = rows.values()
    assert rows.keys() == {("web", "web.1.1", "")}
    assert (counts.requests, counts.bytes_in, counts.bytes_out) == (3, 300, 1500)
    assert (counts.classes, counts.errors) == ([1, 0, 1, 0, 0, 1], 1)
    assert (counts.time, counts.upstream_time) == (12 + 12 + 1500, 30)
    assert sum(counts.times.values()) == sum(counts.upstream_times.values()) == 3


def test_a_repeated_request_counts_once_and_its_failed_try_for_who_failed():
    rows, _ = counted(
        line(
            upstream_addr="127.0.0.1:1002 : 127.0.0.1:1001", upstream_response_time="0.001 : 0.02"
        )
    )
    assert rows["web", "web.2.2", ""] == Counts(failed=1)
    answered = rows["web", "web.1.1", ""]
    assert (answered.requests, answered.retries, answered.upstream_time) == (1, 1, 20)


def test_where_nothing_was_tried_is_no_failed_try():
    """Nginx may choose this machine itself by a port of no one."""
    rows, _ = counted(
        line(upstream_addr="10.0.0.1:1 : 127.0.0.1:1001", upstream_response_time="0.000 : 0.02")
    )
    (answered,) = rows.values()
    assert (answered.requests, answered.retries, answered.failed) == (1, 0, 0)


def test_what_nginx_answers_itself_has_no_app_and_a_502_without_instance_has_one():
    rows, _ = counted(
        line(upstream_addr="", upstream_response_time=""),
        line(upstream_addr="api", upstream_response_time="0.000", status=502, route="/api"),
        line(upstream_addr="10.0.0.9:80", upstream_response_time="-", route="/else"),
    )
    assert rows.keys() == {("", "", ""), ("api", "", "/api"), ("", "", "/else")}
    assert not rows["", "", "/else"].upstream_times


def test_a_port_is_whose_it_was_at_the_time_of_the_line():
    assert owner_of("127.0.0.1:1001", 900.0, OWNERS).instance == "web.1.1"
    assert owner_of("127.0.0.1:1001", 999.5, OWNERS).instance == "web.1.3"  # in whole seconds
    assert owner_of("127.0.0.1:1003", 900.0, OWNERS) is None
    assert owner_of("unix:/run/x.sock", 900.0, OWNERS) is None


@pytest.mark.parametrize(
    "bad",
    [
        b"not ours\n",
        b"{}\n",
        line()[:-20] + b"\n",
        line(status="200"),
        line(request_time=-1),
        line(bytes_sent=1 << 60),
        b"\xff\x00\x01\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_line_that_is_not_ours_is_said_and_those_around_it_are_counted(bad):
    found = parse(line() + bad + line())
    assert (len(found.found), found.unreadable) == (2, 1)


def test_a_time_that_is_none_is_unreadable():
    rows, unreadable = counted(line(), line(time="yesterday"))
    assert (len(rows), unreadable) == (1, 1)


def test_a_line_of_an_older_log_is_counted_without_what_it_did_not_have():
    old = json.loads(line())
    for name in ("request_length", "bytes_sent", "route"):
        del old[name]
    rows, _ = counted(json.dumps(old).encode() + b"\n")
    assert rows["web", "web.1.1", ""].requests == 1


def test_a_connection_of_a_stream_is_counted_as_a_request_is():
    connection = {
        "time": "1970-01-01T00:01:40+00:00",
        "remote_addr": "192.0.2.1",
        "protocol": "TCP",
        "status": 200,
        "bytes_sent": 500,
        "bytes_received": 100,
        "session_time": 2.5,
        "upstream_addr": "127.0.0.1:1002, 127.0.0.1:1001",
        "upstream_connect_time": "-, 0.004",
    }
    data = json.dumps(connection).encode() + b"\n"
    stream = LoggedSite("shop", "stream 5432", {"": "web"})
    found, _ = tally(parse(data, of_stream=True).found, stream, OWNERS)
    rows = {row.instance: counts for row, _, counts in found}
    assert rows["web.2.2"] == Counts(failed=1)
    counts = rows["web.1.1"]
    assert (counts.requests, counts.bytes_in, counts.bytes_out) == (1, 100, 500)
    assert (counts.time, counts.upstream_time) == (2500, 4)
    assert parse(data).unreadable == 1


def test_a_handshake_is_counted_with_the_first_request_of_a_connection():
    lines = [
        line(tls="TLSv1.3", connection_requests=1),
        line(tls="TLSv1.3", connection_requests=2),
        line(tls="", connection_requests=1),
        line(),
    ]
    assert handshakes(parse(b"".join(lines)).found) == 1
