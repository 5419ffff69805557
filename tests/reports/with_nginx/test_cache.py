"""Public reports about caches: pages of other people, errors that stay, files that end early."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.edge import Edge, edge_with_backend
from tests.waiting import eventually

FILE = """
[apps.web]
command = "run"

[sites."app.test"]
app = "web"
cache = {valid = "1h", x_cache = true}
routes."/own" = {cache = {valid = "1h", bypass = ["$cookie_phpsessid"], ignore_cookies = true}}
"""
KEPT = "answer=Cache-Control:max-age%3D3600"


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with edge_with_backend(FILE) as edge:
        yield edge


def is_answered_by_the_app(edge: Edge, path: str, **headers: str) -> bool:
    """Whether three answers in a row are three of the app's, which each have another id."""
    answers = [edge.get("app.test", path, **headers) for _ in range(3)]
    return len({a.json["headers"]["X-Request-ID"] for a in answers}) == 3


def test_a_session_is_not_given_to_the_next_client(edge):
    """https://github.com/TryGhost/Ghost/issues/27942: a cached page sets the cookie of who was
    there first; members cannot log in or out.
    """
    assert is_answered_by_the_app(edge, f"/?{KEPT}&answer=Set-Cookie:sid%3D1")


def test_the_page_of_a_user_is_nobody_elses(edge):
    """https://github.com/engintron/engintron/issues/133 and
    https://github.com/engintron/engintron/issues/1031: pages without a word about caching are
    kept for a moment, and users see those of others, or of an administrator.
    """
    assert is_answered_by_the_app(edge, "/profile", Cookie="sid=1")
    assert is_answered_by_the_app(edge, "/profile", Cookie="sid=2")


def test_who_is_logged_in_does_not_get_the_page_of_who_is_not(edge):
    """https://github.com/perusio/drupal-with-nginx/issues/264: what an anonymous user asked for
    first looks logged out to all.
    """
    eventually(lambda: edge.get("app.test", "/start").headers["X-Cache"] == "HIT")
    assert is_answered_by_the_app(edge, "/start", Cookie="sid=1")


def test_what_a_session_bypasses_is_not_stored_either(edge):
    """https://github.com/nginx-boilerplate/nginx-boilerplate/pull/29: users with a session bypass
    the cache, and what they get is stored for those without.
    """
    assert is_answered_by_the_app(edge, f"/own/x?{KEPT}", Cookie="phpsessid=1")
    asked = edge.get("app.test", f"/own/x?{KEPT}").json["headers"]
    assert "Cookie" not in asked


def test_a_304_for_one_browser_is_not_kept_for_a_fresh_one(edge):
    """https://github.com/camptocamp/docker-odoo-nginx/pull/14: the app answers a conditional
    request with 304, which is stored, and others get a page without content.
    """
    path = f"/fresh?{KEPT}"
    conditional = edge.get("app.test", path, If_None_Match='"x"')
    assert "If-None-Match" not in conditional.json["headers"]
    assert eventually(lambda: edge.get("app.test", path).status) == 200
