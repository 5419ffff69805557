from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.render.directive import to_text
from portico.core.render.retries import MAX_TRIES, retry_maps
from tests.rendered import APP, block, nginx_conf, site

KEY = "$portico_once|$upstream_addr|$upstream_status|$upstream_bytes_received|$upstream_bytes_sent"
MAPS = to_text(retry_maps())
PATTERNS = [
    (re.compile(found[1]), found[2].strip('"'))
    for line in block(MAPS, f'map "{KEY}" $portico_sent')
    if (found := re.fullmatch(r'"~(.*)" (\S+);', line))
]
REFUSED, RESET, TIMED_OUT = ("502", 0, 0), ("502", 0, 99), ("504", 0, 99)
NO_PEER, NONE_AT_ALL = ("", 0, 0), ("", 0, -1)
BEGUN, NOT_REACHED = ("502", 5, 99), ("504", 0, 0)


def sent(*tries: tuple[str, int, int], once: str = "") -> str:
    """What `$portico_sent` is after such tries: status, bytes received, bytes sent."""
    columns = (
        [{NO_PEER: "web", NONE_AT_ALL: "web.again"}.get(t, "127.0.0.1:3000") for t in tries],
        [status or "502" for status, _, _ in tries],
        [str(received) for _, received, _ in tries],
        [str(max(0, count)) for _, _, count in tries],
    )
    key = "|".join((once, *(" : ".join(column) for column in columns)))
    found = (value for pattern, value in PATTERNS if pattern.search(key.replace("\\\\", "\\")))
    return next(found, "over")


@pytest.mark.parametrize("once", ["", "1"])
def test_what_was_sent_to_nobody_may_be_sent(once):
    assert sent(REFUSED, once=once) == ""
    assert sent(*(MAX_TRIES - 1) * [REFUSED], once=once) == ""
    assert sent(NOT_REACHED, REFUSED, once=once) == ""
    assert sent(NO_PEER, once=once) == ""
    assert sent(REFUSED, NO_PEER, once=once) == ""


def nobody(maps: str) -> re.Pattern[str]:
    [line] = [line for line in block(maps, "map $upstream_addr $portico_nobody") if line[0] == '"']
    return re.compile(line.partition("~")[2].partition('"')[0].replace("\\\\", "\\"))


@pytest.mark.parametrize("is_clustered", [False, True])
def test_where_all_peers_have_just_failed_all_are_asked(is_clustered):
    pattern = nobody(to_text(retry_maps(is_clustered=is_clustered)))
    for tries in ("web", "127.0.0.1:3000 : web", "web : 127.0.0.1:3000"):
        assert pattern.search(tries)
    for tries in ("127.0.0.1:3000", "127.0.0.1:3000 : [::1]:80", "unix:/run/a.sock"):
        assert not pattern.search(tries)


def test_that_no_machine_is_known_says_nothing_of_own_instances():
    pattern = nobody(to_text(retry_maps(is_clustered=True)))
    for tries in ("web.machine", "web.machine : 127.0.0.1:3000", "a.shop._project.machine"):
        assert not pattern.search(tries)
    for tries in (
        "web.machine : web",
        "web.machine : 127.0.0.1:3000 : web",
        "web.machine : web.again",
    ):
        assert pattern.search(tries)


@pytest.mark.parametrize(
    "tries",
    [
        (NOT_REACHED, NOT_REACHED),
        MAX_TRIES * (REFUSED,),
    ],
)
def test_too_many_tries_are_the_end(tries):
    assert sent(*tries) == "over"


@pytest.mark.parametrize("tries", [(NO_PEER, NONE_AT_ALL), (REFUSED, NO_PEER, NONE_AT_ALL)])
def test_no_peer_is_the_end_but_where_requests_wait(tries):
    assert sent(*tries) == "-"


def test_an_instance_that_is_met_again_because_all_others_have_just_failed_counts_once():
    assert sent(RESET, NO_PEER, RESET) == "1"
    assert sent(RESET, NO_PEER, RESET, RESET) == "1"
    assert sent(RESET, NO_PEER, RESET, once="1") == "over"
    assert sent(RESET, NO_PEER, RESET, RESET, RESET) == "over"
    assert sent(RESET, NO_PEER, BEGUN) == "over"


def test_what_was_sent_is_counted_and_what_was_not_is_not():
    assert sent(RESET) == "1"
    assert sent(REFUSED, RESET, REFUSED) == "1"
    assert sent(RESET, RESET) == "2"
    assert sent(RESET, REFUSED, RESET, RESET) == "3"
    assert sent(*4 * [RESET]) == "over"


@given(
    st.lists(st.sampled_from([REFUSED, RESET, TIMED_OUT, NO_PEER, BEGUN, NOT_REACHED]), min_size=1)
)
def test_a_request_that_may_not_be_repeated_goes_on_only_while_nothing_was_sent(tries):
    if any(sent_ > 0 for _, _, sent_ in tries):
        assert sent(*tries, once="1") == "over"


@given(
    st.lists(st.sampled_from([REFUSED, RESET, NOT_REACHED]), max_size=4),
    st.sampled_from([TIMED_OUT, BEGUN, NONE_AT_ALL]),
)
def test_a_timeout_and_an_answer_that_has_begun_are_the_end(tries, last):
    assert sent(*tries, last) in {"over", "-"}


def test_what_may_be_repeated_has_a_safe_method_and_no_body():
    head = 'map "$request_method:$content_length:$http_transfer_encoding" $portico_once'
    assert block(MAPS, head) == ["default 1;", '"~^(GET|HEAD|OPTIONS):0?:$" "";']


@pytest.mark.parametrize(
    ("keys", "end"), [("", "[^1]"), ("retries = 0", "."), ("retries = 3", "[^123]")]
)
def test_a_request_is_repeated_as_often_as_the_file_says(keys, end):
    assert block(nginx_conf(site(keys)), "location @again_0") == [
        "error_page 502 504 = @again_0;",
        "recursive_error_pages on;",
        f'if ($portico_sent ~ "{end}") {{',
        "error_page 502 504 = @failed;",
        "return 502;",
        "}",
        'proxy_pass "http://web$portico_nobody";',
    ]


def test_nginx_itself_tries_once_but_for_a_post_whose_body_it_passes_on():
    conf = nginx_conf(site(routes='"/u" = {request_buffering = false}\n"/g" = {grpc = true}'))
    assert "    proxy_next_upstream off;" in conf
    assert "non_idempotent" not in conf
    assert "grpc_next_upstream off;" in block(conf, "location /g/")
    for number, protocol in ((1, "proxy"), (2, "grpc")):
        stream = block(conf, f"location @stream_{number}")
        assert f"{protocol}_next_upstream error timeout;" in stream
        assert f"{protocol}_pass {protocol.replace('proxy', 'http')}://web;" in stream


def test_grpc_is_not_tried_again_and_a_body_that_was_passed_on_is_not():
    conf = nginx_conf(site(routes='"/u" = {request_buffering = false}\n"/g" = {grpc = true}'))
    assert "if ($portico_once) {" in block(conf, "location @again_1")
    assert "@again_2" not in conf


def test_servers_elsewhere_are_tried_as_apps_are():
    text = f"""
    {APP}
    [upstreams.old]
    servers = ["a.test:443"]
    tls = true
    [sites."app.test"]
    upstream = "old"
    """
    again = block(nginx_conf(text), "location @again_0")
    assert {"proxy_ssl_name a.test;", 'proxy_pass "https://old$portico_nobody";'} < set(again)


def test_the_named_location_repeats_what_its_route_says():
    conf = nginx_conf(site(routes='"/x" = {proxy_read_timeout = 5, headers = {A = "1"}}'))
    repeated = block(conf, "location @again_1")
    assert {"proxy_read_timeout 5s;", "add_header A 1 always;"} < set(repeated)


def test_an_operators_pages_are_kept_beside_another_try():
    conf = nginx_conf(
        site('error_pages = {404 = "a.html", 502 = "b.html"}', '"/x" = {gzip=false}')
    )
    for place in ("/x/", "= /x", "@again_1", "@live_1"):
        lines = block(conf, f"location {place}")
        lines = [line for line in lines if not re.search(r"@failed|419 = @live", line)]
        assert [line for line in lines if "error_page" in line] == [
            f"error_page 502 504 = {place if place[0] == '@' else '@again_1'};",
            "error_page 404 /.portico/404;",
            "recursive_error_pages on;",
        ]
    assert "error_page 502 /.portico/502;" in conf


def test_a_site_that_passes_nothing_on_has_no_place_for_failures():
    assert "@failed" not in nginx_conf('[sites."a.test"]\nredirect = "https://b.test"\n')


def test_what_stays_open_has_its_own_times_and_no_buffer():
    keys = "proxy_read_timeout = 5\nproxy_send_timeout = 6\nbuffering = true"
    routes = '"/ws" = {websocket_timeout = 7}\n"/long" = {proxy_read_timeout = "2h"}'
    conf = nginx_conf(site(keys, routes))
    for number, silence in ((0, "3600s"), (1, "7s"), (2, "7200s")):
        lines = block(conf, f"location @live_{number}")
        assert {f"proxy_read_timeout {silence};", "proxy_buffering off;"} < set(lines)
        assert f"proxy_send_timeout {silence};" in lines


@pytest.mark.parametrize(
    ("accept", "is_live"),
    [
        ("text/event-stream", True),
        ("application/json, Text/Event-Stream", True),
        ("application/x-ndjson", True),
        ("*/*, application/ndjson;q=0.1", True),
        ("application/jsonl", True),
        ("application/json-seq", True),
        ("application/stream+json", True),
        ("application/json", False),
        ("application/signed-exchange;v=b3;q=0.7, text/css, image/svg+xml", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("", False),
    ],
)
def test_who_asks_for_a_stream_is_known_by_the_request(accept, is_live):
    (pattern,) = (
        each[1]
        for line in block(MAPS, "map $http_accept $portico_events")
        if (each := re.fullmatch(r'"~\*(.*)" 1;', line))
    )
    assert bool(re.search(pattern, accept, re.IGNORECASE)) is is_live


def test_who_asks_for_an_upgrade_or_for_a_stream_may_stay():
    live = block(MAPS, "map $portico_upgrade $portico_live")
    assert live == ["default 1;", '"" $portico_events;']
