"""Routes with the same path: which one takes a request, and that all its other keys hold there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.addresses import free_port
from tests.edge import Edge
from tests.fakes.backend import Backend
from tests.fakes.discovery import FakeDiscovery
from tests.waiting import eventually

FILE = r"""
[apps.web]
command = "run"
[apps.next]
command = "run"

[sites."app.test"]
app = "web"
headers = {X-Site = "app"}
error_pages = {404 = "404.html"}

[sites."app.test".routes]
"/" = {match = {cookie = {beta = "1"}}, app = "next"}
"/version" = [
  {match = {header = {X-Api-Version = "2"}}, app = "next", strip_prefix = true},
  {match = {header = {X-Api-Version = "~ ^3\\.[0-9]+$"}}, app = "next", headers = {X-Route = "3"}},
  {match = {header = {X-Api-Version = true}}, redirect = {to = "/old", status = 302}},
  {app = "web"},
]
"/query/" = [
  {match = {query = {preview = true, "a.b$" = "x*y"}}, app = "next"},
  {match = {query = {preview = ""}}, folder = "public"},
  {match = {query = {preview = false}}, app = "web"},
]
"/method" = [
  {match = {method = "GET"}, app = "next"},
  {match = {method = ["POST", "PUT"]}, app = "web", request_buffering = false},
  {redirect = "/no"},
]
"/files" = [
  {match = {cookie = {"new-look" = "~* ^ON$"}}, folder = {path = "new", spa = true}},
  {match = {cookie = {old = true}}, folder = "public", basic_auth = {file = "passwords"}},
  {folder = "public"},
]
"= /exact" = [{match = {query = {v = "2"}}, app = "next"}, {app = "web"}]
"~ ^/regex/(.*)$" = [{match = {query = {v = "2"}}, redirect = "/r/$1"}, {app = "web"}]
"/errors" = [
  {match = {query = {v = "2"}}, app = "next", proxy_intercept_errors = true},
  {app = "web"},
]

[[sites."app.test".routes."/both"]]
app = "next"
match = {method = "POST", header = {X-A = "1"}, cookie = {b = "2"}, query = {c = "3"}}
"""
FILES = {
    "public/index.html": "old",
    "public/sub/index.html": "old sub",
    "public/a b.txt": "spaces",
    "public/.env": "secret",
    "new/index.html": "new",
    "new/sub/x.txt": "new x",
    "new/.env": "secret",
    "404.html": "page 404",
    "passwords": "ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n",
}


@pytest.fixture(scope="module")
def backends() -> Iterator[dict[str, Backend]]:
    with Backend() as web, Backend() as beta:
        yield {"web": web, "next": beta}


@pytest.fixture(scope="module")
def edge(backends) -> Iterator[Edge]:
    ports = {name: [backend.port] for name, backend in backends.items()}
    with FakeDiscovery(**ports) as discovery:
        edge = Edge(FILE, discovery.address)
        for name, text in FILES.items():
            edge.file(name, text)
        with edge:
            for cookie in ("", "beta=1"):
                eventually(lambda cookie=cookie: edge.get("app.test", Cookie=cookie).status == 200)
            yield edge


def served_by(edge: Edge, backends: dict[str, Backend], method: str, path: str, **headers) -> str:
    """The app that answered, the place that is redirected to, or the content of a file."""
    answer = edge.ask(method, "app.test", path, **headers)
    if answer.headers["Location"]:
        return answer.headers["Location"]
    if answer.headers["Content-Type"] != "application/json":
        return answer.body.decode()
    return next(name for name, each in backends.items() if each.port == answer.json["port"])


@pytest.mark.parametrize(
    ("method", "path", "headers", "by"),
    [
        ("GET", "/", {}, "web"),
        ("GET", "/any/x", {"Cookie": "beta=1"}, "next"),
        ("GET", "/x", {"Cookie": "a=b; beta=1; c=d"}, "next"),
        ("GET", "/x", {"Cookie": "a=b;beta=1"}, "next"),
        ("GET", "/x", {"Cookie": "beta=10"}, "web"),
        ("GET", "/x", {"Cookie": "xbeta=1"}, "web"),
        ("GET", "/x", {"Cookie": "Beta=1"}, "web"),
        ("GET", "/x", {"Cookie": "beta=0; beta=1"}, "web"),
        ("GET", "/x", {"Cookie": "beta=1; beta=0"}, "next"),
        ("GET", "/x", {"Cookie": "a=beta=1"}, "web"),
        ("GET", "/version/x", {"Cookie": "beta=1"}, "web"),
        ("GET", "/version/x", {}, "web"),
        ("GET", "/version/x", {"X_Api_Version": "2"}, "next"),
        ("GET", "/version", {"X_Api_Version": "2"}, "next"),
        ("GET", "/version/x", {"X_Api_Version": "3.14"}, "next"),
        ("GET", "/version/x", {"X_Api_Version": "3.x"}, "/old"),
        ("GET", "/version/x", {"X_Api_Version": "2.0"}, "/old"),
        ("GET", "/versions", {"X_Api_Version": "2"}, "web"),
        ("GET", "/query/?preview&a.b$=x*y", {}, "next"),
        ("GET", "/query/?a.b$=x*y&preview=1", {}, "next"),
        ("GET", "/query/?preview&a.b$=xxy", {}, "old"),
        ("GET", "/query/?preview=", {}, "old"),
        ("GET", "/query/?preview", {}, "old"),
        ("GET", "/query/?Preview", {}, "web"),
        ("GET", "/query/?x=preview", {}, "web"),
        ("GET", "/query/?preview=2", {}, "web"),
        ("GET", "/query/?preview=2&preview=", {}, "web"),
        ("GET", "/method", {}, "next"),
        ("POST", "/method/x", {}, "web"),
        ("PUT", "/method/x", {}, "web"),
        ("DELETE", "/method/x", {}, "/no"),
        ("GET", "/exact?v=2", {}, "next"),
        ("GET", "/exact?v=3", {}, "web"),
        ("GET", "/exact/x?v=2", {}, "web"),
        ("GET", "/regex/a%2Fb?v=2", {}, "/r/a%2Fb"),
        ("GET", "/regex/a", {}, "web"),
        ("POST", "/both?c=3", {"X_A": "1", "Cookie": "b=2"}, "next"),
        ("GET", "/both?c=3", {"X_A": "1", "Cookie": "b=2"}, "web"),
        ("POST", "/both?c=3", {"X_A": "1", "Cookie": "b=3"}, "web"),
        ("POST", "/both?c=4", {"X_A": "1", "Cookie": "b=2"}, "web"),
        ("POST", "/both?c=3", {"Cookie": "b=2"}, "web"),
        ("GET", "/files/", {}, "old"),
        ("GET", "/files/a%20b.txt", {}, "spaces"),
        ("GET", "/files/", {"Cookie": "new-look=on"}, "new"),
        ("GET", "/files/any/link", {"Cookie": "new-look=On"}, "new"),
        ("GET", "/files/sub/x.txt", {"Cookie": "new-look=on"}, "new x"),
        ("GET", "/files", {"Cookie": "new-look=on"}, "/files/"),
        ("GET", "/files?a=b", {}, "/files/?a=b"),
        ("GET", "/files/sub", {}, "/files/sub/"),
        ("GET", "//files/sub?a", {}, "/files/sub/?a"),
        ("GET", "/files/sub/", {}, "old sub"),
        ("GET", "/files/.env", {}, "page 404"),
        ("GET", "/files/none", {}, "page 404"),
        ("GET", "/files/%2e%2e/404.html", {}, "web"),
    ],
)
def test_the_first_route_that_fits_takes_a_request(edge, backends, method, path, headers, by):
    assert served_by(edge, backends, method, path, **headers) == by


def test_head_is_as_get(edge, backends):
    before = len(backends["next"].asked)
    assert edge.ask("HEAD", "app.test", "/method").status == 200
    assert len(backends["next"].asked) == before + 1


@pytest.mark.parametrize("path", ["/version/a%2Fb/%C3%9C//x/../y?q=%20&%26", "/version/%0d%0a;x"])
def test_the_path_passes_byte_for_byte(edge, path):
    assert edge.get("app.test", path).json["path"] == path
    stripped = edge.get("app.test", path, X_Api_Version="2").json["path"]
    assert stripped == path.removeprefix("/version")


def test_the_keys_of_the_route_hold_there(edge):
    cookie = {"Cookie": "old=1"}
    refused = edge.get("app.test", "/files/", **cookie)
    assert (refused.status, refused.headers["X-Site"]) == (401, "app")
    password = {"Authorization": "Basic YW5uOnNlY3JldA=="}
    assert edge.get("app.test", "/files/", **cookie, **password).body == b"old"
    third = edge.get("app.test", "/version", X_Api_Version="3.1")
    assert (third.headers["X-Site"], third.headers["X-Route"]) == ("app", "3")
    assert edge.ask("POST", "app.test", "/files/", b"x").status == 405
    assert edge.get("app.test", "/errors?v=2&status=404").body == b"page 404"
    assert edge.get("app.test", "/errors?status=404").json["method"] == "GET"


@pytest.mark.parametrize(
    ("path", "vary"),
    [("/version", "X-Api-Version"), ("/x", "Cookie"), ("/files/", "Cookie"), ("/method", None)],
)
def test_a_cache_learns_what_the_answer_depends_on(edge, path, vary):
    assert edge.get("app.test", path).headers["Vary"] == vary


def test_a_websocket_and_an_upload_pass(edge, backends):
    with edge.websocket("app.test", "/version") as socket:
        socket.sendall(b"\x81\x02hi")
        assert socket.recv(100) == b"\x81\x02hi"
    assert edge.ask("POST", "app.test", "/method", b"x" * 300_000).json["body"] == 300_000
    assert edge.ask("PUT", "app.test", "/version", b"x" * 300_000).json["body"] == 300_000


def test_what_got_no_answer_is_repeated_once_on_the_same_route(edge, backends):
    before = len(backends["next"].asked)
    assert edge.get("app.test", "/version?hang_up=1", X_Api_Version="2").status == 502
    assert len(backends["next"].asked) == before + 2


def test_no_client_reaches_the_path_inside_nginx(edge):
    conf = edge.main.read_text()
    inside = [line.split()[2] for line in conf.splitlines() if "location ^~ /.portico" in line]
    assert inside
    for path in inside:
        assert edge.get("app.test", f"{path}index.html").status == 404


IN_VAIN = """
[apps.web]
command = "run"
instances = 4

[sites."app.test"]
app = "web"
error_pages = { 503 = "503.html" }

[sites."app.test".routes."/"]
app = "web"
match = { method = ["GET", "PUT"] }
proxy_intercept_errors = true
wait = "200ms"
"""


@pytest.mark.parametrize("headers", [{}, {"Accept": "text/event-stream"}])
def test_a_request_that_all_was_tried_for_gets_the_page_of_its_site(headers):
    """Ten redirects inside nginx: a choice, three tries, two waits, an end and its page."""
    with FakeDiscovery(web=[free_port() for _ in range(4)]) as discovery:
        edge = Edge(IN_VAIN, discovery.address)
        edge.file("503.html", "page 503")
        with edge:
            eventually(lambda: len(discovery.asked) >= 4)
            answer = edge.ask("GET", "app.test", "/", **headers)
            assert (answer.status, answer.body) == (503, b"page 503")
