"""Pages of the site for errors of the app: which, and that nothing is sent twice for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.edge import Edge
from tests.fakes.backend import Backend
from tests.fakes.discovery import FakeDiscovery
from tests.waiting import eventually

FILE = """
[apps.web]
command = "run"

[sites."app.test"]
app = "web"
proxy_intercept_errors = true

[sites."app.test".error_pages]
401 = "401.html"
404 = "404.html"
419 = "419.html"
500 = "500.html"
503 = "none.html"

[sites."app.test".routes]
"/api" = {app = "web", proxy_intercept_errors = false}
"/some" = {app = "web", proxy_intercept_errors = [500], strip_prefix = true}
"/sent" = {app = "web", request_buffering = false}
"/staff" = {app = "web", basic_auth = {users = {ann = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}}}
"/limited" = {app = "web", rate_limit = {rate = "2r/m", status = 503}}
"/calls/" = {app = "web", grpc = true}
"""
PAGES = {f"{code}.html": f"page {code}" for code in (401, 404, 419, 500)}


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


@pytest.fixture(scope="module")
def edge(backend) -> Iterator[Edge]:
    with FakeDiscovery(web=[backend.port]) as discovery:
        edge = Edge(FILE, discovery.address)
        for name, text in PAGES.items():
            edge.file(name, text)
        with edge:
            eventually(lambda: edge.get("app.test").status == 200)
            yield edge


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("status", [401, 404, 419, 500])
def test_an_error_of_the_app_has_the_page_and_its_status(edge, method, status):
    answer = edge.ask(method, "app.test", f"/x?status={status}", b"body")
    assert (answer.status, answer.body.decode()) == (status, f"page {status}")
    assert answer.headers.get_all("Content-Type") == ["text/html"]
    assert answer.headers.get_all("Cache-Control") == ["no-store"]


@pytest.mark.parametrize("status", [200, 302, 400, 403, 410, 418, 422, 503, 599])
def test_other_answers_are_the_apps(edge, status):
    answer = edge.get("app.test", f"/x?status={status}&answer=X-Of-App:1")
    assert answer.status == status
    assert status == 503 or answer.headers["X-Of-App"] == "1"


@pytest.mark.parametrize("path", ["/api/x", "/api/x/y?a=b"])
def test_a_route_may_keep_the_answers_of_its_app(edge, path):
    answer = edge.get("app.test", f"{path}{'&' if '?' in path else '?'}status=404")
    assert (answer.status, answer.json["method"]) == (404, "GET")


def test_a_route_may_choose_the_statuses(edge):
    assert edge.get("app.test", "/some/x?status=404").json["path"] == "/x?status=404"
    assert edge.get("app.test", "/some/%2F?status=500").body == b"page 500"


@pytest.mark.parametrize("method", ["POST", "PATCH", "GET"])
@pytest.mark.parametrize("path", ["/x", "/sent/x"])
def test_no_status_of_an_app_gets_it_the_request_again(edge, backend, method, path):
    """418 and 419 are codes by which requests move between locations of nginx."""
    for status in (418, 419, 420, 502, 504, 497):
        before = len(backend.asked)
        answer = edge.ask(method, "app.test", f"{path}?status={status}", b"")
        assert answer.status == status
        assert len(backend.asked) == before + 1


def test_the_question_for_a_password_survives(edge):
    answer = edge.get("app.test", "/x?status=401&answer=WWW-Authenticate:Bearer")
    assert answer.headers.get_all("WWW-Authenticate") == ["Bearer"]
    assert answer.body == b"page 401"
    own = edge.get("app.test", "/staff/x")
    assert own.headers["WWW-Authenticate"].startswith("Basic")
    assert own.body == b"page 401"
    with_password = {"Authorization": "Basic YW5uOnNlY3JldA=="}
    assert edge.get("app.test", "/staff/x?status=404", **with_password).body == b"page 404"


def test_head_has_no_body_and_the_length_of_the_page(edge):
    answer = edge.ask("HEAD", "app.test", "/x?status=404")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (404, b"", "8")


def test_a_client_cannot_ask_for_a_page(edge):
    assert edge.get("app.test", "/.portico/404").status == 404


@pytest.mark.parametrize(("path", "count"), [("/x", 2), ("/some/x", 2), ("/api/x", 2)])
def test_what_got_no_answer_is_still_repeated_once(edge, backend, path, count):
    before = len(backend.asked)
    assert edge.get("app.test", f"{path}?hang_up=1").status == 502
    assert len(backend.asked) == before + count
    assert edge.ask("POST", "app.test", f"{path}?hang_up=1", b"x").status == 502
    assert len(backend.asked) == before + count + 1


def test_a_websocket_and_a_stream_pass(edge):
    with edge.websocket("app.test", "/x") as socket:
        socket.sendall(b"\x81\x02hi")
        assert socket.recv(100) == b"\x81\x02hi"
    answer = edge.get("app.test", "/x?status=404", Accept="text/event-stream")
    assert answer.json["method"] == "GET"


def test_an_error_of_nginx_has_its_page_too(edge):
    assert [edge.get("app.test", "/limited/x").status for _ in range(2)] == [200, 503]
