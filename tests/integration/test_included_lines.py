"""Lines of an operator beside those of Portico: what reaches a program through the real nginx."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portico.core.render.claims import CLAIMS
from tests.edge import Edge
from tests.fakes.backend import Backend
from tests.fakes.discovery import FakeDiscovery
from tests.waiting import eventually

FILE = """
[apps.web]
command = "run"

[edge]
include = "http.conf"

[sites."app.test"]
app = "web"
include = "site.conf"

[sites."app.test".routes]
"/own" = {app = "web", request_headers = {X-Route = "1"}}

[sites."plain.test"]
app = "web"
"""
SITE = """
proxy_set_header X-Own 1;
location /inherits { proxy_pass http://web; }
location /takes { proxy_set_header X-Own 1; proxy_pass http://web; }
"""


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with Backend() as web, FakeDiscovery(web=[web.port]) as discovery:
        edge = Edge(FILE, discovery.address)
        edge.file("site.conf", SITE)
        edge.file("http.conf", "proxy_set_header X-Http 1;")
        with edge:
            eventually(lambda: edge.get("app.test").status == 200)
            yield edge


def told(edge: Edge, site: str, path: str) -> dict[str, str]:
    claims = {name.replace("-", "_"): "evil" for name in CLAIMS} | {"X_Forwarded_For": "evil"}
    return edge.get(site, path, **claims).json["headers"]


@pytest.mark.parametrize(
    ("site", "path", "theirs"),
    [
        ("app.test", "/", "X-Own"),
        ("app.test", "/inherits", "X-Own"),
        ("app.test", "/own", "X-Route"),
        ("plain.test", "/", "X-Http"),
    ],
)
def test_a_header_of_the_operators_takes_none_of_ours_away(edge, site, path, theirs):
    seen = told(edge, site, path)
    assert seen[theirs] == "1"
    assert seen["X-Forwarded-For"] == seen["X-Real-IP"] == "127.0.0.1"
    assert seen["X-Forwarded-Proto"] == "https"
    assert "evil" not in seen.values()


def test_what_check_refuses_is_what_would_mislead_the_program(edge):
    """tests/unit/test_render_inheritance.py refuses such a location."""
    assert told(edge, "app.test", "/takes")["X-Forwarded-For"] == "evil"


def test_check_refuses_a_file_that_would_mislead_a_program_and_says_what_is_lost(stack):
    text = """
    [apps.web]
    command = "python3 -m http.server $PORT"
    [sites."app.localhost"]
    app = "web"
    include = "own.conf"
    """
    stack.write(text)
    own = stack.folder / "own.conf"
    own.write_text("location /x { proxy_set_header A 1; proxy_pass http://web; }")
    refused = stack.portico("check", "portico.toml")
    assert refused.returncode != 0
    assert "own.conf:1: location /x does not set" in refused.stdout + refused.stderr
    own.write_text("location /x { access_log off; return 204; }")
    noted = stack.portico("check", "portico.toml")
    assert noted.returncode == 0, noted.stderr
    assert "location /x has access_log" in noted.stdout + noted.stderr
