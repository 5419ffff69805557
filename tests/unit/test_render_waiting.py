"""Where a request goes next that no instance took, by what nginx says of its tries so far."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.render.directive import to_text
from portico.core.render.retries import retry_maps
from tests.rendered import APP, block, nginx_conf

CONF = nginx_conf(f'{APP}[sites."app.test"]\napp = "web"\nwait = "10s"\n')
MAPS = to_text(retry_maps())
NOWHERE, REFUSED, SENT = "255.255.255.255:1", "127.0.0.1:3000", "127.0.0.1:3001"
NO_PEER, NONE_AT_ALL, WAIT = "web", "web.again", ""
MAX_REDIRECTS = 10


def value(text: str, head: str, key: str) -> str:
    """What a map makes of a key."""
    found = [line for line in block(text, head) if not line.startswith("volatile")]
    lines = (re.fullmatch(r'"?~?(.*?)"? (\S+);', line) for line in found)
    pairs = [(each[1], each[2].strip('"')) for each in lines if each]
    default = next(result for pattern, result in pairs if pattern == "default")
    matches = (
        result
        for pattern, result in pairs
        if pattern != "default" and re.search(pattern.replace("\\\\", "\\"), key)
    )
    return next(matches, default)


def addresses(tries: list[str]) -> str:
    """`$upstream_addr`: a question to discovery leaves nothing, and a comma before the next."""
    text = ""
    for number, address in enumerate(tries):
        if number:
            text += ", " if tries[number - 1] == WAIT else " : "
        text += address
    return text


def place(*tries: str) -> str:
    return value(CONF, "map $upstream_addr $portico_place", addresses(list(tries)))


@pytest.mark.parametrize(
    "tries",
    [
        (NOWHERE,),
        (NO_PEER, NOWHERE),
        (REFUSED, NO_PEER, NOWHERE),
        (NO_PEER, NONE_AT_ALL),
        (REFUSED, NO_PEER, REFUSED),
        (NO_PEER, NO_PEER),
        (REFUSED, REFUSED, REFUSED),
        (NOWHERE, WAIT, NOWHERE),
        (NOWHERE, WAIT, REFUSED),
        (NO_PEER, NONE_AT_ALL, WAIT, NO_PEER),
    ],
)
def test_a_request_that_no_instance_took_waits(tries):
    assert place(*tries) == "wait"


@pytest.mark.parametrize("tries", [(REFUSED,), (NO_PEER,), (REFUSED, NO_PEER), (REFUSED, REFUSED)])
def test_a_request_is_tried_elsewhere_before_it_waits(tries):
    assert place(*tries) == "$portico_way"


def test_after_a_wait_the_usual_upstream_is_tried_with_its_method():
    nobody = "map $upstream_addr $portico_nobody"
    assert value(MAPS, nobody, addresses([NO_PEER, NONE_AT_ALL, WAIT, WAIT])) == ""
    assert value(MAPS, nobody, addresses([NO_PEER, NONE_AT_ALL, WAIT, NO_PEER])) == ".again"


@given(st.lists(st.sampled_from([NOWHERE, REFUSED, NO_PEER, NONE_AT_ALL]), min_size=12))
def test_nginx_never_follows_more_redirects_than_it_can(failures):
    """Each try and each wait is one, as are the choice of a route, the location of a stream, the
    end and its page.
    """
    tries = [failures.pop(0)]
    while place(*tries) == "$portico_way":
        tries.append(failures.pop(0))
    waits = 0
    while place(*tries) != "absent":
        assert place(*tries) == "wait"
        tries += [WAIT, failures.pop(0)]
        waits += 1
    assert waits == 2
    assert value(CONF, "map $upstream_addr $portico_waited", addresses(tries)) == "1"
    choice, stream, end, page = 1, 1, 1, 1
    assert choice + stream + (len(tries) - 1) + end + page <= MAX_REDIRECTS


def test_a_request_that_was_sent_is_not_said_to_have_waited_in_vain():
    head = 'map "$upstream_bytes_sent|$upstream_addr" $portico_late'
    assert value(CONF, head, f"0 : 0, 0|{addresses([NOWHERE, WAIT, NOWHERE])}") == "1"
    assert value(CONF, head, f"0 : 0, 99|{addresses([NOWHERE, WAIT, SENT])}") == ""
    assert value(CONF, head, f"0|{REFUSED}") == ""


@pytest.mark.parametrize(
    ("keys", "waits"),
    [
        ('wait = "10s"', True),
        ('wait = { timeout = "10s" }', True),
        ("wait = 0", False),
        ("", False),
        ('wait = "10s"\nrequest_buffering = false', True),
    ],
)
def test_requests_wait_where_the_file_says_so(keys, waits):
    conf = nginx_conf(f'{APP}[sites."app.test"]\napp = "web"\n{keys}\n')
    assert ("location @wait_0" in conf) is waits


def test_half_of_the_time_passes_before_discovery_is_asked_again():
    assert "resolver_timeout 5s;" in block(CONF, "location @wait_0")


def test_who_is_signed_out_while_a_request_is_held_is_sent_to_sign_in():
    auth = 'auth = { app = "web", sign_in = "/in" }\nerror_pages = { 401 = "401.html" }'
    conf = nginx_conf(f'{APP}[sites."app.test"]\napp = "web"\nwait = "10s"\n{auth}\n')
    for place in ("location @wait_0", "location @again_0", "location @live_0"):
        assert any(line.startswith("error_page 401 = @sign_in_") for line in block(conf, place))
