"""Public reports about routes: redirects by pattern, error pages of apps, canaries, X-Accel."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.edge import Edge, edge_with_backend

FILE = """
[apps.web]
command = "run"

[sites."app.test"]
app = "web"
error_pages = {404 = "404.html"}
proxy_intercept_errors = true

[sites."app.test".routes]
"~ ^/(.+)/$" = {redirect = "/$1"}
"/" = {match = {cookie = {canary = "always"}}, app = "web", headers = {X-Canary = "1"}}
"/some-existing-path" = [
  {match = {cookie = {canary = "always"}}, app = "web", headers = {X-Canary = "2"}},
  {app = "web"},
]
"^~ /api/" = {app = "web", proxy_intercept_errors = false}
"^~ /protected" = {folder = "private", internal = true}
"""
NAMES = ["café.png", "Report90%.pdf", "a?b.txt", "你好.jpg", "%E4%BD%A0.txt"]


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    files = {f"private/{name}": name for name in NAMES} | {"404.html": "page"}
    with edge_with_backend(FILE, files) as edge:
        yield edge


@pytest.mark.parametrize("path", ["//google.com/", "///google.com/", "/\\google.com/"])
def test_a_slash_at_the_end_is_taken_off_and_no_host_is_left(edge, path):
    """https://github.com/treeverse/dvc.org/pull/2750, https://github.com/TryGhost/Ghost/pull/7247:
    a redirect from `^/(.+)/$` to `/$1` led `//google.com/` to google.com.
    """
    assert edge.get("app.test", path).headers["Location"] == "/google.com"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_with_any_name_is_sent_for_an_app(edge, name):
    """https://github.com/benoitc/gunicorn/issues/1448, https://github.com/rack/rack/issues/1306,
    https://github.com/dokuwiki/dokuwiki/issues/3719: names with letters of other languages, `%`
    and `?` in X-Accel-Redirect are percent-encoded once.
    """
    header = quote(f"X-Accel-Redirect:/protected/{quote(name)}")
    assert edge.get("app.test", f"/x?answer={header}").body.decode() == name


@pytest.mark.parametrize("header", ["X-Accel-Mapping", "X-Sendfile-Type"])
def test_a_client_does_not_choose_the_file_that_is_sent(edge, header):
    """https://github.com/rails/rails/issues/41148, CVE-2025-61780: Rack::Sendfile believed these
    headers of clients.
    """
    answer = edge.get("app.test", "/x", **{header: "/=/protected/"})
    assert header not in answer.json["headers"]


def test_an_api_keeps_its_errors_where_pages_have_those_of_others(edge):
    """https://github.com/kubernetes/ingress-nginx/issues/10832: pages for errors of nginx, and of
    some apps, replaced those of every app.
    """
    assert edge.get("app.test", "/x?status=404").body == b"page"
    assert edge.get("app.test", "/api/x?status=404").json["method"] == "GET"


def test_a_canary_has_every_path_that_it_is_written_for(edge):
    """https://github.com/kubernetes/ingress-nginx/issues/8689: only the canary of one path got
    requests.
    """
    for path, number in (("/", "1"), ("/x", "1"), ("/some-existing-path", "2")):
        chosen = edge.get("app.test", path, Cookie="canary=always")
        assert (chosen.headers["X-Canary"], chosen.json["path"]) == (number, path)
        assert edge.get("app.test", path, Cookie="canary=never").headers["X-Canary"] is None
