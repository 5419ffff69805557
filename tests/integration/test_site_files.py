"""Folders of static files and redirects, proved by requests to the real nginx."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.edge import Edge

FILE = """
[sites."files.test"]
folder = "public"
hsts = true

[sites."files.test".routes]
"/docs" = {folder = {path = "more docs", listing = true, expires = "1h"}}
"/app" = {folder = {path = "app", spa = true, index = "main.html", expires = "30d"}}
"/pages" = {folder = {path = "pages", clean_urls = true}}
"/own" = {folder = {path = "app", expires = 60}, headers = {cache-control = "private"}}
"/app/api/" = {folder = "app/none"}
"/twins" = {folder = {path = "twins", expires = "1h"}, headers = {X-Own = "1"}}
"/closed" = {folder = "twins", allow = ["192.0.2.1"]}
"= /only.txt" = {folder = "public"}
"~ \\\\.pdf$" = {folder = "papers"}
"/moved" = {redirect = "/docs/"}
"/gone/" = {redirect = {to = "https://new.test/", keep_path = true, status = 302}}

[sites."spa.test"]
folder = {path = "app", spa = true, index = "main.html"}

[sites."pages.test"]
folder = "public"
hsts = true
headers = {X-Own = "1", Cache-Control = "private"}
routes."/twins" = {folder = "twins"}
error_pages = {416 = "416.html"}

[sites."plain.test"]
folder = "twins"
gzip = false
"""
FILES = {
    "public/index.html": "home",
    "public/a.txt": "a",
    "public/only.txt": "only",
    "public/.env": "secret",
    "public/.git/config": "secret",
    "public/sub/.htaccess": "secret",
    "public/.well-known/security.txt": "contact",
    "public/data.json": "{}" * 1000,
    "more docs/index.txt": "no index",
    "more docs/empty/x.txt": "x",
    "app/main.html": "program",
    "app/style.css": "p { }",
    "app/deep/main.html": "deep",
    "app/main.8f3a2b1c.js": "hashed",
    "pages/about.html": "about",
    "pages/about/more.html": "more",
    "papers/x.pdf": "paper",
    "twins/style.css": "p { }",
    "twins/style.css.br": "brotli!",
    "twins/style.css.zst": "zstandard",
    "twins/style.css.gz": "gzip",
    "twins/a?b %|.js": "plain",
    "twins/a?b %|.js.gz": "packed",
    "twins/sub/index.html": "index",
    "twins/sub/index.html.br": "index packed",
    "twins/.gz": "secret",
    "twins/.secret": "secret",
    "twins/.secret.gz": "secret",
    "secret.txt": "secret",
    "416.html": "No such part",
    "public-other/a.txt": "other",
}


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    edge = Edge(FILE)
    for name, text in FILES.items():
        edge.file(name, text)
    with edge:
        yield edge


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", "home"),
        ("/a.txt", "a"),
        ("/only.txt", "only"),
        ("/.well-known/security.txt", "contact"),
        ("/docs/index.txt", "no index"),
        ("/app/", "program"),
        ("/app/style.css", "p { }"),
        ("/app/any/deep/link?x=y", "program"),
        ("/app/deep", "deep"),
        ("/app/deep/", "deep"),
        ("/x.pdf", "paper"),
        ("/pages/about", "about"),
        ("/pages/about/more", "more"),
        ("/pages/about.html", "about"),
    ],
)
def test_files_are_served(edge, path, body):
    answer = edge.get("files.test", path)
    assert (answer.status, answer.body.decode()) == (200, body)


@pytest.mark.parametrize("path", ["/", "/any/deep/link", "/style.css/not", "/users/a.b"])
def test_a_program_that_lives_in_the_browser_answers_every_path(edge, path):
    assert edge.get("spa.test", path).body == b"program"


@pytest.mark.parametrize("path", ["/assets/x.js", "/x.PNG", "/deep/main.css", "/x.js.map"])
def test_a_missing_file_of_a_program_in_the_browser_is_missing(edge, path):
    assert edge.get("spa.test", path).status == 404
    assert edge.get("files.test", f"/app{path}").status == 404


@pytest.mark.parametrize(
    ("site", "path", "kept"),
    [
        ("files.test", "/app/", "no-cache"),
        ("files.test", "/app/any/link", "no-cache"),
        ("files.test", "/app/style.css", "max-age=2592000"),
        ("files.test", "/app/main.8f3a2b1c.js", "public, max-age=31536000, immutable"),
        ("files.test", "/app/none.js", None),
        ("files.test", "/own/style.css", "private"),
        ("spa.test", "/", "no-cache"),
        ("spa.test", "/style.css", None),
        ("spa.test", "/main.8f3a2b1c.js", "public, max-age=31536000, immutable"),
        ("files.test", "/a.txt", None),
    ],
)
def test_how_long_a_file_is_kept_follows_what_it_is(edge, site, path, kept):
    assert edge.get(site, path).headers.get_all("Cache-Control") == (kept and [kept])


@pytest.mark.parametrize(
    "path",
    [
        "/.env",
        "/.git/config",
        "/sub/.htaccess",
        "/%2egit/config",
        "/nothing",
        "/docs/nothing",
        "/app/.git/config",
        "/app/api/x",
        "/../secret.txt",
        "/docs/../secret.txt",
        "/docs/%2e%2e/secret.txt",
        "/docs../secret.txt",
        "/docs..%2fsecret.txt",
        "/sub/..%2f..%2fsecret.txt",
    ],
)
def test_what_is_hidden_or_outside_the_folder_is_not_served(edge, path):
    for site in ("files.test", "spa.test"):
        answer = edge.get(site, path)
        assert answer.status in {400, 404} or answer.body in {b"program", b"home"}
        assert b"secret" not in answer.body


def test_a_folder_shows_its_files_only_when_asked_to(edge):
    listing = edge.get("files.test", "/docs/empty/")
    assert listing.status == 200
    assert b'<a href="x.txt">' in listing.body
    assert edge.get("files.test", "/sub/").status == 403


def test_files_have_a_type_and_may_be_kept(edge):
    assert (
        edge.get("files.test", "/app/style.css").headers["Content-Type"]
        == "text/css; charset=utf-8"
    )
    kept = edge.get("files.test", "/docs/index.txt").headers
    assert kept["Content-Type"] == "text/plain; charset=utf-8"
    assert kept["Cache-Control"] == "max-age=3600"
    fresh = edge.get("files.test", "/a.txt").headers
    assert fresh["Cache-Control"] is None
    assert edge.get("files.test", "/a.txt", If_None_Match=fresh["ETag"]).status == 304
    packed = edge.get("files.test", "/data.json", Accept_Encoding="gzip").headers
    assert packed["Content-Encoding"] == "gzip"


@pytest.mark.parametrize(
    ("accepted", "encoding", "body"),
    [
        (None, None, b"p { }"),
        ("gzip, deflate, br, zstd", "br", b"brotli!"),
        ("gzip, zstd", "zstd", b"zstandard"),
        ("gzip", "gzip", b"gzip"),
        ("GZIP;q=0.001", "gzip", b"gzip"),
        ("br;q=0, zstd;q=0.0, gzip", "gzip", b"gzip"),
        ("br ; Q = 0.000 , identity", None, b"p { }"),
        ("identity, br;q=1", "br", b"brotli!"),
        ("xbr, brx, x-gzip, deflate, *;q=0", None, b"p { }"),
    ],
)
def test_a_compressed_file_is_served_to_who_accepts_it(edge, accepted, encoding, body):
    asked = {"Accept_Encoding": accepted} if accepted else {}
    answer = edge.get("files.test", "/twins/style.css", **asked)
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["Content-Encoding"] == encoding
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    assert answer.headers.get_all("Vary") == ["Accept-Encoding"]
    assert answer.headers["Cache-Control"] == "max-age=3600"
    assert answer.headers["X-Own"] == "1"
    again = edge.get(
        "files.test", "/twins/style.css", If_None_Match=answer.headers["ETag"], **asked
    )
    assert (again.status, again.headers["Content-Encoding"]) == (304, None)
    part = edge.get("files.test", "/twins/style.css", Range="bytes=1-2", **asked)
    assert (part.status, part.body) == (206, body[1:3])
    assert part.headers["Content-Encoding"] == encoding


@pytest.mark.parametrize("accepted", ["", "br"])
@pytest.mark.parametrize("site", ["files.test", "pages.test"])
def test_a_range_that_a_file_does_not_have_is_answered_once_with_each_header(edge, site, accepted):
    answer = edge.get(site, "/twins/style.css", Range="bytes=99-", Accept_Encoding=accepted)
    assert answer.status == 416
    assert answer.headers.get_all("X-Own") == ["1"]
    assert len(answer.headers.get_all("Vary")) == 1
    assert len(answer.headers.get_all("Strict-Transport-Security")) == 1
    assert len(answer.headers.get_all("Cache-Control")) == 1
    size = len(FILES[f"twins/style.css{accepted and '.br'}"])
    assert answer.headers["Content-Range"] == f"bytes */{size}"
    assert (b"No such part" in answer.body) is (site == "pages.test")


def test_the_tag_of_a_compressed_file_is_its_own(edge):
    tags = {
        edge.get("files.test", "/twins/style.css", Accept_Encoding=name).headers["ETag"]
        for name in ("identity", "gzip", "zstd", "br")
    }
    assert len(tags) == 4


def test_a_compressed_file_follows_the_rules_of_the_other(edge):
    asked = {"Accept_Encoding": "gzip, br"}
    assert edge.get("files.test", "/twins/a%3Fb%20%25%7C.js?q=1", **asked).body == b"packed"
    assert edge.get("files.test", "/twins/sub/", **asked).body == b"index packed"
    assert edge.get("files.test", "/closed/style.css", **asked).status == 403
    assert edge.get("plain.test", "/style.css", **asked).body == b"p { }"
    for path in ("/twins/", "/twins/.secret", "/.portico/twin_8/twins/style.css"):
        answer = edge.get("files.test", path, **asked)
        assert answer.status in {403, 404}
    assert edge.ask("POST", "files.test", "/twins/style.css", **asked).status == 405


def test_a_file_that_is_replaced_is_served_at_once(edge):
    assert edge.get("files.test", "/a.txt").body == b"a"
    edge.file("public/a.txt", "new")
    assert edge.get("files.test", "/a.txt").body == b"new"
    edge.file("public/a.txt", "a")


@pytest.mark.parametrize(
    ("path", "status", "to"),
    [
        ("/docs", 308, "/docs/"),
        ("/docs?x=y", 308, "/docs/?x=y"),
        ("/docs/empty", 301, "/docs/empty/"),
        ("/moved", 308, "/docs/"),
        ("/moved/on?x=y", 308, "/docs/"),
        ("/gone/a%20b?x=y", 302, "https://new.test/gone/a%20b?x=y"),
    ],
)
def test_requests_are_redirected(edge, path, status, to):
    answer = edge.get("files.test", path)
    assert (answer.status, answer.headers["Location"]) == (status, to)


def test_error_pages_are_the_operators():
    text = """
    [sites."app.test"]
    folder = "public"
    error_pages = {404 = "pages/404.html", 403 = "pages/missing.html", 405 = "pages/405.html"}
    """
    edge = Edge(text)
    edge.file("pages/404.html", "<h1>Not here</h1>")
    edge.file("pages/405.html", "<h1>Not so</h1>")
    edge.file("public/sub/a.txt", "a")
    with edge:
        answer = edge.get("app.test", "/nothing")
        assert (answer.status, answer.body) == (404, b"<h1>Not here</h1>")
        assert answer.headers["Content-Type"] == "text/html"
        assert edge.ask("POST", "app.test", "/sub/a.txt").status == 405
        assert edge.get("app.test", "/sub/").status == 403  # its page is not there
        assert edge.get("app.test", "/.portico/404").status == 404


def test_lines_of_the_operators_own_come_in_only_by_include():
    text = """
    [edge]
    include = "http.conf"
    [sites."app.test"]
    redirect = "https://b.test"
    include = ["site.conf", "extra/*.conf"]
    """
    edge = Edge(text)
    edge.file("http.conf", "map $host $greeting { default hello; }\n")
    edge.file("site.conf", "location = /mine { return 200 $greeting; }\n")
    edge.file("extra/one.conf", "location = /extra { return 204; }\n")
    with edge:
        assert edge.get("app.test", "/mine").body == b"hello"
        assert edge.get("app.test", "/extra").status == 204
