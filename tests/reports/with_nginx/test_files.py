"""Public reports about files: before an app, and compressed ones next to others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.edge import Edge, edge_with_backend

FILE = """
[apps.web]
command = "run"

[sites."app.test"]
app = "web"
folder = {path = "public", clean_urls = true}
"""
FILES = {
    "public/contact.html": "page",
    "public/app.js": "plain" * 1000,
    "public/app.js.br": "packed",
    "public/other.js": "plain" * 1000,
}


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with edge_with_backend(FILE, FILES) as edge:
        yield edge


def test_a_post_to_the_path_of_a_file_reaches_the_program(edge):
    """https://github.com/JosephSilber/page-cache/issues/46: GET /contact was a file, and POST
    /contact, which sends the form, was sent to the file too; 405.
    """
    assert edge.get("app.test", "/contact").body == b"page"
    assert edge.ask("POST", "app.test", "/contact", b"a=b").json["body"] == 3


def test_a_file_without_a_compressed_one_is_compressed(edge):
    """https://github.com/google/ngx_brotli/issues/116: with `br` in Accept-Encoding, files that
    have no compressed one next to them were sent as they are, without gzip.
    """
    asked = {"Accept_Encoding": "gzip,deflate,br"}
    kinds = [edge.get("app.test", f"/{n}.js", **asked).headers for n in ("app", "other")]
    assert [kind["Content-Encoding"] for kind in kinds] == ["br", "gzip"]
    assert [kind.get_all("Vary") for kind in kinds] == [["Accept-Encoding"]] * 2


@pytest.mark.parametrize("query", ["?_=1457939263837", "?", "?v=a%20b&x"])
def test_a_file_is_served_whatever_the_query(edge, query):
    """https://github.com/caddyserver/caddy/issues/680: with a query the request for a file went to
    the program, which answered 404.
    """
    assert edge.get("app.test", f"/other.js{query}").body == b"plain" * 1000
