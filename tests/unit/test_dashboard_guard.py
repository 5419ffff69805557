"""Which requests of browsers the dashboard refuses before it looks at anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.api.dashboard.guard import (
    KEY_HEADER,
    NO_KEY,
    OTHER_SITE,
    WRONG_HOST,
    cookie_of,
    key_refusal,
    set_cookie,
    site_refusal,
)

PORT = 9465
HERE = {"host": f"127.0.0.1:{PORT}"}


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9465", "localhost:9465", "LOCALHOST:9465", "[::1]:9465"]
)
def test_the_names_of_this_machine_are_served(host):
    assert site_refusal({"host": host}, PORT) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "127.0.0.1:80",
        "evil.example:9465",
        "localhost.evil.example:9465",
        "127.0.0.1.evil.example:9465",
        "127.0.0.1:9465@evil.example",
        "127.0.0.1:9465, evil.example",
        "0.0.0.0:9465",
    ],
)
def test_every_other_name_is_refused(host):
    assert site_refusal({"host": host}, PORT) is WRONG_HOST


def test_a_request_without_a_host_is_refused():
    assert site_refusal({}, PORT) is WRONG_HOST


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({"origin": "http://127.0.0.1:9465", "sec-fetch-site": "same-origin"}, None),
        ({"sec-fetch-site": "none"}, None),
        ({"sec-fetch-site": "cross-site"}, OTHER_SITE),
        ({"sec-fetch-site": "same-site"}, OTHER_SITE),
        ({"origin": "http://127.0.0.1:9466"}, OTHER_SITE),
        ({"origin": "http://localhost:9465"}, OTHER_SITE),
        ({"origin": "https://127.0.0.1:9465"}, OTHER_SITE),
        ({"origin": "null"}, OTHER_SITE),
        ({"origin": ""}, OTHER_SITE),
    ],
)
def test_pages_of_other_sites_are_refused(headers, refusal):
    assert site_refusal(HERE | headers, PORT) is refusal


def test_data_needs_the_key_of_the_session():
    assert key_refusal({KEY_HEADER: "right"}, "right") is None
    assert key_refusal({KEY_HEADER: "wrong"}, "right") is NO_KEY
    assert key_refusal({}, "right") is NO_KEY


@given(st.dictionaries(st.sampled_from(["host", "origin", "cookie", KEY_HEADER]), st.text()))
def test_headers_of_any_text_are_refused_and_never_an_error(headers):
    assert site_refusal(headers, PORT) is not None
    assert key_refusal(headers, "\x00right") is NO_KEY
    assert isinstance(cookie_of(headers), str)


def test_the_cookie_is_found_among_others_and_is_for_this_listener_only():
    line = set_cookie("secret")
    assert line.split("; ")[1:] == ["Path=/", "HttpOnly", "SameSite=Strict"]
    assert cookie_of({"cookie": f"a=b; {line.split(';')[0]}; c=d"}) == "secret"
    assert cookie_of({"cookie": "a=b"}) == ""
