"""The same client sees the same from Portico and from Caddy 2, in front of the same program.

What is meant to be different is in DIFFERENCES, with the reason.
"""

from __future__ import annotations

import gzip
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.clients import Client
from tests.edge import Edge
from tests.fakes import caddy
from tests.fakes.backend import Backend
from tests.fakes.discovery import FakeDiscovery
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(
    not caddy.CADDY.exists(), reason="needs Caddy; scripts/setup installs it with pip"
)
FILE = """
[apps.web]
command = "run"

[sites."app.test"]
app = "web"
headers = {X-Frame-Options = "DENY"}

[sites."app.test".routes]
"/api" = {app = "web", strip_prefix = true}
"/files" = {folder = "public"}
"/mixed" = {app = "web", folder = "public/mixed"}
"/spa" = {folder = {path = "public", spa = true}}
"= /old" = {redirect = {to = "/new", status = 302}}
"/closed" = {app = "web", basic_auth = {users = {ann = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}}}
"""
CADDYFILE = """
app.test {{
    tls {certificate} {key}
    encode gzip
    header >X-Frame-Options DENY
    redir /old /new 302
    redir /files /files/{{http.request.uri.prefixed_query}} 308
    handle_path /api/* {{
        reverse_proxy 127.0.0.1:{port}
    }}
    handle_path /files/* {{
        root {public}
        file_server {{
            hide .*
            precompressed br zstd gzip
        }}
    }}
    handle_path /spa/* {{
        root {public}
        try_files {{path}} /index.html
        file_server
    }}
    handle /mixed/* {{
        root {public}
        @file {{
            method GET HEAD
            file
        }}
        handle @file {{
            file_server
        }}
        handle {{
            reverse_proxy 127.0.0.1:{port}
        }}
    }}
    @closed path /closed /closed/*
    handle @closed {{
        basic_auth {{
            ann {password}
        }}
        reverse_proxy 127.0.0.1:{port}
    }}
    handle {{
        reverse_proxy 127.0.0.1:{port}
    }}
}}
"""
PASSWORD = "$2a$04$QJGu4mcrrXZuf2Z2AkrnDeIeRHKTpqt4mbXa0ihiGf.Bj78yJ9GLm"
FILES = {
    "index.html": "<h1>page</h1>",
    "a b.txt": "text",
    "app.js": "let a;" * 500,
    "app.js.br": "brotli",
    "app.js.gz": "gzip",
    ".env": "secret",
    "sub/index.html": "sub",
    "mixed/app.js": "let b;",
    "mixed/a b.txt": "text",
}
HEADERS = (
    *("Content-Type", "Content-Encoding", "Content-Range", "Location", "X-Frame-Options"),
    *("WWW-Authenticate", "Set-Cookie", "Cache-Control", "X-Own", "Accept-Ranges", "Vary"),
)
OF_PAGES = {"Content-Type", "X-Frame-Options"}
PASSED = (
    *("Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Content-Length"),
    *("Accept-Encoding", "Authorization", "Cookie", "X-Own", "Connection", "Upgrade", "TE"),
)
"""The headers of answers, and of requests that reach the program, that are compared."""


@dataclass(frozen=True, slots=True)
class Ask:
    path: str
    method: str = "GET"
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


def ask(path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Ask:
    return Ask(path, method, body, tuple(headers.items()))


ASKS = (
    # bytes of paths
    *(ask(path) for path in ("/", "/a%2Fb", "/a%20b?c=%20&d", "/%C3%BC", "/a;b=1", "/?x=%2F")),
    *(ask(f"/api{path}") for path in ("/", "/x", "/repos/a%2Fb", "/a%20b?c", "/%3Fx", "//x")),
    *(ask(path) for path in ("/apix", "/filesx", "/closedx")),
    # methods, bodies, statuses, headers
    *(ask("/x", method, b"body") for method in ("POST", "PUT", "PATCH", "DELETE")),
    *(ask("/x", method) for method in ("HEAD", "OPTIONS", "DELETE", "POST")),
    *(ask(f"/?status={status}") for status in (201, 204, 304, 401, 404, 413, 429, 500, 502, 503)),
    ask("/?answer=Set-Cookie:a=1&answer=Set-Cookie:b=2&answer=X-Own:1"),
    ask("/?answer=X-Frame-Options:SAMEORIGIN"),
    ask("/?answer=Location:/elsewhere&status=302"),
    ask("/?answer=Location:http://127.0.0.1/elsewhere&status=302"),
    ask("/?answer=Cache-Control:no-store"),
    ask("/?size=5000", Accept_Encoding="gzip"),
    ask("/?size=5000&answer=Cache-Control:no-transform", Accept_Encoding="gzip"),
    ask("/?size=5000", Accept_Encoding="gzip;q=0"),
    ask("/?header=10000"),
    ask("/", Cookie="a=1; b=2", Authorization="Bearer x", X_Own="1", TE="trailers"),
    ask("/", X_Forwarded_For="1.2.3.4", X_Forwarded_Proto="http", X_Forwarded_Host="evil.test"),
    ask("/", Connection="close, X-Own", X_Own="1"),
    # files
    *(ask(f"/files/{name}") for name in ("", "a%20b.txt", "app.js", "sub/", "none", ".env")),
    *(ask(path) for path in ("/files", "/files?a", "/files/sub", "/files/../../etc/passwd")),
    ask("/files/app.js", Accept_Encoding="br, gzip"),
    ask("/files/app.js", Accept_Encoding="gzip"),
    ask("/files/app.js", Accept_Encoding="br;q=0, gzip;q=0"),
    ask("/files/a%20b.txt", Range="bytes=1-2"),
    ask("/files/a%20b.txt", Range="bytes=9-"),
    ask("/files/a%20b.txt", "HEAD"),
    ask("/files/a%20b.txt", "POST", b"x"),
    *(ask(f"/spa/{path}") for path in ("", "any/link", "app.js")),
    *(ask(f"/mixed/{path}") for path in ("app.js", "none", "a%2Fb", "a%20b.txt")),
    ask("/mixed/app.js", "POST", b"x"),
    # redirects and refusals
    ask("/old"),
    ask("/closed/x"),
    ask("/closed/x", Authorization="Basic YW5uOnNlY3JldA=="),
    ask("/closed/x", Authorization="Basic YW5uOndyb25n"),
)
DIFFERENCES: dict[Ask, tuple[set[str], str]] = {
    ask("/api//x"): (
        {"path"},
        "the rest of a path passes byte for byte; Caddy makes one slash of two",
    ),
    ask("/?size=5000&answer=Cache-Control:no-transform", Accept_Encoding="gzip"): (
        {"Content-Encoding", "Vary"},
        "no directive of nginx depends on no-transform: docs/requests.md",
    ),
    ask("/?size=5000", Accept_Encoding="gzip;q=0"): (
        {"Vary"},
        "RFC 9110 12.5.5: the answer would be another one for another client",
    ),
    ask("/", Cookie="a=1; b=2", Authorization="Bearer x", X_Own="1", TE="trailers"): (
        {"> TE"},
        "nginx passes no TE, which is of one connection only (RFC 9110 10.1.4)",
    ),
    ask("/", Connection="close, X-Own", X_Own="1"): (
        {"> X-Own"},
        "nginx passes headers that Connection names; those that matter here are set by Portico",
    ),
    ask("/files/sub"): ({"status", "Vary"}, "301 is what nginx answers for a folder"),
    ask("/files/../../etc/passwd"): (
        {"status", "path", "method", "body", *OF_PAGES, *(f"> {name}" for name in PASSED)},
        "nginx refuses a path that leaves the site; Caddy passes it to the program",
    ),
    ask("/files/a%20b.txt", Range="bytes=1-2"): (
        {"Accept-Ranges"},
        "a part says that there are parts (RFC 9110 14.3)",
    ),
    ask("/files/a%20b.txt", "POST", b"x"): ({"Vary"}, "of an answer that nobody keeps"),
    ask("/spa/"): ({"Cache-Control"}, "Portico lets browsers ask again for a page"),
    ask("/spa/any/link"): ({"Cache-Control"}, "Portico lets browsers ask again for a page"),
}
"""What differs, and why it is meant to."""


@pytest.fixture(scope="module")
def ports(edge, program, tmp_path_factory) -> Iterator[dict[str, tuple[int, int]]]:
    """Of http and of https."""
    text = CADDYFILE.format(
        certificate=edge.folder / "certificate.pem",
        key=edge.folder / "key.pem",
        port=program.port,
        public=edge.project / "public",
        password=PASSWORD,
    )
    with caddy.running(tmp_path_factory.mktemp("caddy"), text) as theirs:
        yield {"portico": (edge.http, edge.https), "caddy": theirs}


@pytest.fixture(scope="module")
def program() -> Iterator[Backend]:
    with Backend() as program:
        yield program


@pytest.fixture(scope="module")
def edge(program) -> Iterator[Edge]:
    with FakeDiscovery(web=[program.port]) as discovery:
        edge = Edge(FILE, discovery.address)
        for name, text in FILES.items():
            edge.file(f"public/{name}", text)
        with edge:
            eventually(lambda: edge.get("app.test").status == 200)
            yield edge


@pytest.mark.parametrize("asked", ASKS, ids=lambda asked: f"{asked.method} {asked.path}")
def test_a_client_sees_the_same(edge, ports, asked):
    ours, theirs = (_seen(edge.tls(), port, asked) for _, port in ports.values())
    differing = {name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)}
    meant, _ = DIFFERENCES.get(asked, (set(), ""))
    assert {name: (ours.get(name), theirs.get(name)) for name in differing - meant} == {}
    assert not meant - differing, "no longer different"


def test_plain_requests_are_redirected(ports):
    """Caddy takes its port for one that 443 is forwarded to; here `public_https` says so."""
    seen = {}
    for name, (http, https) in ports.items():
        client = Client("app.test", http, None)
        answer = client.ask("GET", "/a%2Fb?c")
        client.close()
        seen[name] = answer.status, answer.headers["Location"].replace(str(https), "PORT")
    assert seen == {
        "portico": (308, "https://app.test:PORT/a%2Fb?c"),
        "caddy": (308, "https://app.test/a%2Fb?c"),
    }


def test_events_arrive_as_they_are_sent(edge, ports):
    for _, port in ports.values():
        with _connected(edge.tls(), port) as tls:
            tls.sendall(
                b"GET /?stream=100 HTTP/1.1\r\nHost: app.test\r\nAccept: text/event-stream\r\n\r\n"
            )
            seen = b""
            while b"123456789\n" not in seen:  # the last one is sent 20 seconds later
                more = tls.recv(4096)
                assert more, "it ended without a line"
                seen += more
            assert seen.count(b"123456789\n") < 50


def test_a_websocket_passes(edge, ports):
    for _, port in ports.values():
        with _connected(edge.tls(), port) as tls, tls.makefile("rb") as lines:
            tls.sendall(
                b"GET /socket HTTP/1.1\r\nHost: app.test\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            head = list(iter(lines.readline, b"\r\n"))
            assert head[0].startswith(b"HTTP/1.1 101 ")
            assert any(line.lower().startswith(b"sec-websocket-accept:") for line in head)
            tls.sendall(b"\x81\x02hi")
            assert lines.read(4) == b"\x81\x02hi"


def _connected(context: ssl.SSLContext, port: int) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port), 60)
    return context.wrap_socket(plain, server_hostname="app.test")


def _seen(context: ssl.SSLContext, port: int, asked: Ask) -> dict[str, object]:
    """By name: of the answer, and with `> ` of what the program saw. A page of the proxy's own is
    its status and what a client acts on.
    """
    client = Client("app.test", port, context)
    answer = client.ask(asked.method, asked.path, asked.body, **dict(asked.headers))
    client.close()
    seen: dict[str, object] = {name: answer.headers.get_all(name) for name in HEADERS}
    seen["status"] = answer.status
    is_packed = answer.headers["Content-Encoding"] == "gzip"
    body = _unpacked(answer.body) if is_packed else answer.body
    if answer.headers["Content-Type"] == "application/json" and body:
        facts = json.loads(body)
        passed = {name.lower(): value for name, value in facts["headers"].items()}
        seen |= {name: facts[name] for name in ("path", "method", "body")}
        for name in PASSED:
            seen[f"> {name}"] = str(passed.get(name.lower())).replace(str(port), "PORT")
    elif answer.status < 300:
        seen["body"] = body
    else:
        seen = {name: value for name, value in seen.items() if name not in OF_PAGES}
    return seen


def _unpacked(body: bytes) -> bytes:
    try:
        return gzip.decompress(body)
    except gzip.BadGzipFile:
        return body
