"""Redirects with captures: what is in Location, byte for byte, and what never is."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterator
from urllib.parse import quote, urljoin, urlsplit

import pytest

from tests.edge import Edge

FILE = r"""
[sites."a.test"]
folder = "public"
https = false

[sites."a.test".routes]
"~ ^/blog/([0-9]+)/(.*)$" = {redirect = {to = "/articles/$2?no=$1", status = 301}}
"~* (?s)^/KEPT/(?<rest>.*)$".redirect.to = "https://new.test/${rest}"
"~* (?s)^/KEPT/(?<rest>.*)$".redirect.status = 302
"~* (?s)^/KEPT/(?<rest>.*)$".redirect.keep_query = true
"~ ^/both/(.*)$" = {redirect = {to = "/x?id=$1#top", status = 303, keep_query = true}}
"~ (?s)^/any/(.*)$" = {redirect = "/$1"}
"~ ^/Übersicht/(\\d{1,3});?$" = {redirect = {to = "/o/$1{};'$$", status = 307}}
"~ ^/names/([^/]+ [^/]+)$" = {redirect = "/n/$1"}
"~ ^/two words/(.*)$" = {redirect = "/w/$1"}
"~ ^/only/(.*)$" = {redirect = "/o/$1", deny = ["all"]}
"= /fixed" = {redirect = {to = "/other?a=1", keep_query = true}}
"""
TEXTS = [*string.punctuation, "a b", "{1,2}", "ü", "\\\\;", "'; return 200; #", "${host}"]


def in_target(text: str) -> str:
    """A target has no spaces, quotation marks and backslashes."""
    return "" if set(text) & set(' "\\') else text


def routes() -> Iterator[str]:
    for number, text in enumerate(TEXTS):
        key = json.dumps(f"~ ^/{number}{re.escape(text)}x(?<end>.*)$", ensure_ascii=False)
        yield f'{key} = {{redirect = "/y{in_target(text).replace("$", "$$")}$end"}}\n'


EVERY_BYTE = [bytes([b]) for b in range(0x21, 0x100) if b != 0x7F and chr(b) not in "?#"]
"""What nginx takes in a path as it is; control characters and spaces it refuses."""


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with Edge(FILE + "".join(routes())) as edge:
        yield edge


def location(edge: Edge, target: bytes) -> tuple[int, bytes]:
    """Status, and Location as the bytes that were sent."""
    answer = edge.raw(b"GET %b HTTP/1.0\r\nHost: a.test\r\n\r\n" % target)
    head = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert len([line for line in head if line.lower().startswith(b"location:")]) < 2
    values = [line[10:] for line in head if line.startswith(b"Location: ")]
    return int(head[0].split()[1]), b"".join(values)


@pytest.mark.parametrize(
    ("path", "status", "to"),
    [
        ("/blog/7/a/b", 301, "/articles/a/b?no=7"),
        ("/blog/7/a?q=1", 301, "/articles/a?no=7"),
        ("/blog/7/", 301, "/articles/?no=7"),
        ("/kept/x", 302, "https://new.test/x"),
        ("/kept/x?a=%20b&c", 302, "https://new.test/x?a=%20b&c"),
        ("/both/x", 303, "/x?id=x#top"),
        ("/both/x?y=z", 303, "/x?id=x&y=z#top"),
        ("/fixed", 308, "/other?a=1"),
        ("/fixed?b=2", 308, "/other?a=1&b=2"),
        ("/%C3%9Cbersicht/12", 307, "/o/12{};'$"),
        ("/%62log/7/a", 301, "/articles/a?no=7"),
        ("/x/../blog/7/a", 301, "/articles/a?no=7"),
        ("/only/x", 403, ""),
        ("/names/a%20b", 404, ""),
        ("/two%20words/a", 308, "/w/a"),
        ("/%62log/7/a%3Fb", 404, ""),
        ("/blog/x/a", 404, ""),
    ],
)
def test_a_redirect_by_pattern_leads_where_its_captures_say(edge, path, status, to):
    assert location(edge, path.encode()) == (status, to.encode())


@pytest.mark.parametrize("prefix", [b"/any/a", b"/kept/a"])
def test_every_byte_of_the_path_passes_as_it_was_sent(edge, prefix):
    start = {b"/any/a": b"/a", b"/kept/a": b"https://new.test/a"}[prefix]
    encoded = [b"%%%02x" % b for b in range(1, 256)]
    for piece in (
        *EVERY_BYTE,
        *encoded,
        b"//",
        b"%2F%2f",
        b"/./",
        b"%C3%9c",
        b"%0d%0aSet-Cookie:%20a=b",
    ):
        status, to = location(edge, prefix + piece + b"z")
        if status == 400:
            assert piece == b"%"
            continue
        assert to == start + piece + b"z", piece


@pytest.mark.parametrize(
    "rest",
    [
        *("/evil.test", "//evil.test", "\\evil.test", "/\\evil.test", "\\/evil.test"),
        *("/%2Fevil.test", "%2Fevil.test", "%5Cevil.test", "%09/evil.test", "@evil.test"),
        *(".evil.test", ":80@evil.test"),
    ],
)
def test_no_capture_leads_to_another_host(edge, rest):
    for route, host in (("/any/", "a.test"), ("/kept/", "new.test"), ("/x/../any/", "a.test")):
        status, to = location(edge, f"{route}{rest}".encode())
        if status != 404:
            seen = to.decode().replace("\\", "/").translate({ord(c): None for c in "\t\r\n"})
            assert urlsplit(urljoin("http://a.test/", seen)).hostname == host


def test_a_capture_ends_no_header(edge):
    for path in ("/any/%0d%0aSet-Cookie:%20a=b", "/%61ny/%0d%0aSet-Cookie:%20a=b"):
        answer = edge.raw(f"GET {path} HTTP/1.0\r\nHost: a.test\r\n\r\n".encode())
        assert b"\r\nSet-Cookie" not in answer


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_a_pattern_and_a_target_stay_in_their_arguments(edge, number):
    """All of them are in one file, which `nginx -t` has accepted without a warning."""
    found = location(edge, f"/{number}{quote(TEXTS[number])}xz".encode())
    assert found == (308, f"/y{in_target(TEXTS[number])}z".encode())
