"""Copies of requests for another app, counted at the programs behind the real nginx."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.edge import Edge
from tests.fakes.backend import Backend
from tests.fakes.discovery import FakeDiscovery
from tests.waiting import eventually

FILE = """
[apps.web]
command = "run"
[apps.shadow]
command = "run"
[apps.gone]
command = "run"
[apps.hung]
command = "run"

[sites."app.test"]
app = "web"
client_max_body_size = "8m"
request_headers = {X-Own = "yes"}

[sites."app.test".routes]
"/all" = {mirror = {app = "shadow"}}
"/upload" = {mirror = {app = "shadow"}, request_buffering = false}
"/head" = {mirror = {app = "shadow", request_body = false}}
"/part" = {mirror = {app = "shadow", share = "50%"}}
"/none" = {mirror = {app = "shadow", share = "0%"}}
"/api" = {app = "web", strip_prefix = true, mirror = {app = "shadow"}}
"/gone" = {mirror = {app = "gone"}}
"/hung" = {mirror = {app = "hung", timeout = "300ms"}}

[sites."whole.test"]
app = "web"
mirror = {app = "shadow"}
[sites."whole.test".routes]
"/off" = {mirror = false}
"""


@pytest.fixture(scope="module")
def shadow() -> Iterator[Backend]:
    with Backend() as shadow:
        yield shadow


@pytest.fixture(scope="module")
def web() -> Iterator[Backend]:
    with Backend() as web:
        yield web


@pytest.fixture(scope="module")
def edge(web, shadow) -> Iterator[Edge]:
    with (
        Backend(hangs_up=60) as hung,
        FakeDiscovery(
            web=[web.port], shadow=[shadow.port], gone=[9], hung=[hung.port]
        ) as discovery,
        Edge(FILE, discovery.address) as edge,
    ):
        eventually(lambda: edge.get("app.test").status == 200)
        eventually(lambda: edge.get("app.test", "/all?warm").status == 200 and shadow.asked)
        yield edge


def copies(backend: Backend, path: str) -> list[str]:
    return [asked for asked in backend.asked if path in asked]


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("GET", "/all/a%2Fb?x=1", "/all/a%2Fb?x=1"),
        ("POST", "/all/post", "/all/post"),
        ("PUT", "/upload/put", "/upload/put"),
        ("POST", "/head/post", "/head/post"),
        ("GET", "/api/v1%20/x?y", "/v1%20/x?y"),
    ],
)
def test_the_other_app_gets_the_same_request(edge, web, shadow, method, path, asked):
    body = b"x" * (3 << 20) if method != "GET" else None
    answer = edge.ask(method, "app.test", path, body)
    assert (answer.status, answer.json["port"]) == (200, web.port)
    assert answer.json["body"] == len(body or b"")
    eventually(lambda: copies(shadow, f"{method} {asked}"))
    assert len(copies(web, f"{method} {asked}")) == len(copies(shadow, f"{method} {asked}")) == 1


def test_a_share_is_copied(edge, shadow):
    with edge.client("app.test") as client:
        for number in range(50):
            assert client.ask("GET", f"/part/{number}").status == 200
        for number in range(10):
            assert client.ask("GET", f"/none/{number}").status == 200
    assert 7 <= len(copies(shadow, "/part/")) <= 43  # half of 50, five deviations more or less
    assert copies(shadow, "/none/") == []


def test_the_answer_of_the_other_app_does_not_reach_the_client(edge, web, shadow):
    for query in ("?status=500", "?answer=Set-Cookie:a=1", "?hang_up=1"):
        edge.get("app.test", f"/all{query}")
    with edge.client("app.test") as client:
        for _ in range(3):
            assert client.ask("GET", "/all/again").json["port"] == web.port


def test_an_app_that_is_down_costs_nothing(edge, web):
    with edge.client("app.test") as client:
        began = time.monotonic()
        for _ in range(20):
            assert client.ask("GET", "/gone").json["port"] == web.port
        assert time.monotonic() - began < 30


def test_an_app_that_hangs_holds_up_the_next_request_for_its_timeout_alone(edge, web):
    with edge.client("app.test") as client:
        began = time.monotonic()
        for _ in range(3):
            assert client.ask("GET", "/hung").json["port"] == web.port
        assert time.monotonic() - began < 30  # the app would take 60 seconds for each


def test_a_route_has_no_copies_where_the_site_has_them(edge, shadow):
    edge.get("whole.test", "/off/x")
    edge.get("whole.test", "/on/x")
    eventually(lambda: copies(shadow, "/on/x"))
    assert copies(shadow, "/off/x") == []


def test_what_stays_open_has_no_copy(edge, shadow):
    with edge.websocket("whole.test", "/socket"):
        pass
    edge.get("whole.test", "/after")
    eventually(lambda: copies(shadow, "/after"))
    assert copies(shadow, "/socket") == []
