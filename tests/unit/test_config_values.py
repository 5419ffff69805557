"""What single values may be: lengths of time, sizes, rates, names, addresses, methods."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.app import App, Check
from portico.core.model.balancing import Balance, Method
from portico.core.model.edge import parse_bind
from portico.core.model.names import is_local_name, parse_app_name, parse_domain
from portico.core.model.site import parse_network
from portico.core.model.units import parse_duration, parse_rate, parse_size
from portico.core.model.upstream import parse_address
from portico.core.model.value_text import value_text

texts = st.text(max_size=30) | st.text("0123456789abcdefgmstkxw:./*[]-_ %$\n", max_size=30)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (5, 5.0),
        (0.25, 0.25),
        ("30", 30.0),
        ("500ms", 0.5),
        ("1h30m", 5400.0),
        ("1d 12h", 129600.0),
        ("2W", 1209600.0),
        ("1m5", 65.0),
    ],
)
def test_a_length_of_time(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "5x", "1.5.5s", "-1s", "٣s", True, None, [], -1, 1e300, float("nan")]
)
def test_no_length_of_time(text):
    with pytest.raises(ValueError, match=r"must be"):
        parse_duration(text)


def test_a_long_line_of_digits_is_refused_at_once():
    start = time.process_time()
    with pytest.raises(ValueError, match=r"must be"):
        parse_duration("1" * 5000 + "x")
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("text", "size"),
    [(5, 5), ("512k", 524288), ("10M", 10485760), ("1 GiB", 1 << 30), ("7b", 7), ("0", 0)],
)
def test_a_size(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "k", "-1", "1t", "1.5m", 1.5, True, None, "9999999g", "٣k"])
def test_no_size(text):
    with pytest.raises(ValueError, match=r"must be"):
        parse_size(text)


@pytest.mark.parametrize("text", ["10r/s", " 30R/M "])
def test_a_rate(text):
    assert parse_rate(text) == text.strip().lower()


@pytest.mark.parametrize("text", ["10", "0r/s", "10r/h", "1r/s;", "٣r/s", 10, None])
def test_no_rate(text):
    with pytest.raises(ValueError, match=r"must be"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Shop.Example.COM.", "shop.example.com"),
        ("*.a.test", "*.a.test"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("0:0::1", "::1"),
    ],
)
def test_a_domain_is_written_in_one_way(text, name):
    assert parse_domain(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "a..b",
        "-a.b",
        "a_b",
        "a b",
        "1.2.3.4.5:1",
        "1.2.3.999",
        "fe80::1%eth0",
        "a;b",
        "::x",
        "www.*",
        "*.*.a",
        "x.*.a",
        ".a.test",
        "a" * 64,
        "a." * 127 + "toolong",
        "http://a",
        "a:80",
    ],
)
def test_no_domain(text):
    with pytest.raises(ValueError, match=r"^must "):
        parse_domain(text)


@given(texts)
def test_a_domain_holds_nothing_that_means_something_to_nginx(text):
    if name := _parsed(parse_domain, text):
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.*:")
        assert parse_domain(name) == name


@pytest.mark.parametrize("name", ["a", "web", "web-2", "a_b", "0", "a" * 50])
def test_a_name_of_an_app(name):
    assert parse_app_name(name) == name


@pytest.mark.parametrize("name", ["", "Web", "-a", "a-", "a.b", "a b", "a" * 51, "ä", "a\n"])
def test_no_name_of_an_app(name):
    with pytest.raises(ValueError, match=r"^must be a name"):
        parse_app_name(name)


@pytest.mark.parametrize(
    "name",
    ["localhost", "app.localhost", "a.test", "*.a.internal", "nas.local", "127.8.9.1", "::1"],
)
def test_a_name_that_means_this_machine_or_a_private_network(name):
    assert is_local_name(name)


@pytest.mark.parametrize(
    "name", ["example.com", "contest", "a.tests", "10.0.0.1", "localhost.org"]
)
def test_a_name_that_others_may_know(name):
    assert not is_local_name(name)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.5:3000", "10.0.0.5:3000"),
        ("A.example", "a.example:80"),
        ("[0::1]:90", "[::1]:90"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
    ],
)
def test_an_address(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        "a:0",
        "a:65536",
        "a:x",
        "::1",
        "[::x]:1",
        "[1.2.3.4]:1",
        "unix:a",
        "unix:/a b",
        "*.a",
        "a/b",
        "http://a",
        "a weight=1",
        "a;b:80",
        "300.1.1.1:80",
    ],
)
def test_no_address(text):
    with pytest.raises(ValueError, match=r"^must be an address"):
        parse_address(text)


@given(texts)
def test_an_address_holds_nothing_that_means_something_to_nginx(text):
    if address := _parsed(parse_address, text):
        assert not set(address) & set(" \t\n;{}\"'$\\#")
        assert parse_address(address) == address


def _parsed(parse, text):
    """What it is; None if it is refused, which is then said in our words."""
    with suppress(ValueError):
        return parse(text)
    with pytest.raises(ValueError, match=r"^must "):
        parse(text)
    return None


@pytest.mark.parametrize(
    "text", ["all", "unix:", "10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"]
)
def test_a_network(text):
    assert parse_network(text) == text


def test_the_bits_of_a_network_that_do_not_count_are_left_out():
    assert parse_network("10.1.2.3/8") == "10.0.0.0/8"
    assert parse_network("2001:db8::1/32") == "2001:db8::/32"


@pytest.mark.parametrize("text", ["", "any", "10.0.0", "10.0.0.1/33", "10.0.0.1;", "[::1]"])
def test_no_network(text):
    with pytest.raises(ValueError, match=r"^must be an address or network"):
        parse_network(text)


@pytest.mark.parametrize(
    ("text", "bind"), [("*", "*"), ("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("[::]", "[::]")]
)
def test_an_address_to_listen_on(text, bind):
    assert parse_bind(text) == bind


@pytest.mark.parametrize("text", ["", "localhost", "0.0.0.0:80", "*;", "[::1]:80"])
def test_no_address_to_listen_on(text):
    with pytest.raises(ValueError, match=r"^must be an address such as"):
        parse_bind(text)


@pytest.mark.parametrize(
    ("text", "balance"),
    [
        ("round_robin", Balance()),
        ("ip_hash;", Balance(Method.IP_HASH)),
        ("hash $request_uri consistent", Balance(Method.HASH, ("$request_uri", "consistent"))),
        ("random two least_conn", Balance(Method.RANDOM, ("two", "least_conn"))),
        ("least_time  header inflight", Balance(Method.LEAST_TIME, ("header", "inflight"))),
    ],
)
def test_a_method_is_written_as_in_nginx(text, balance):
    assert Balance.parse(text) == balance
    assert Balance.parse(str(balance)) == balance


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "fair",
        "random three",
        "random two least_time=header",
        "least_time",
        "hash",
        "hash $",
        "hash uri",
        "hash $uri consistent x",
        "hash $uri;x",
        "hash $1",
        "ip_hash least_conn",
        5,
        None,
    ],
)
def test_no_method(text):
    with pytest.raises(ValueError, match=r"must be|two methods|hash needs"):
        Balance.parse(text)


def test_the_variables_of_a_key_are_known():
    assert Balance.parse("hash ${arg_id}x$uri").variables == ("arg_id", "uri")
    assert Balance.parse("ip_hash").variables == ()


def test_a_check_may_be_a_path_a_table_or_a_connection():
    assert App(health="/up").check == Check(path="/up")
    assert App(health=Check(timeout=1)).check == Check(timeout=1)
    assert App().check == Check()


def test_pinned_ports_follow_the_slots():
    assert [App(port=3000).pinned_port(slot) for slot in (1, 2)] == [3000, 3001]
    assert App().pinned_port(1) is None
    assert App(port=False).pinned_port(1) is None
    assert not App(port=False).listens


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", '"a"'), (5, "5"), (True, "true"), (None, "null"), ({}, "a table"), ([], "a list")],
)
def test_a_value_is_shown_as_it_was_written(value, text):
    assert value_text(value) == text
