"""Forward authentication in nginx's files: no way to an app leads past the question."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

from portico.core.render.escaping import escaping_maps
from tests.rendered import nginx_conf, site_block

FILE = """
[apps.web]
command = "run"
[apps.proxy]
command = "run"
[sites."app.test"]
app = "web"
auth = {{app = "proxy", request_headers = ["X-User"]}}
[sites."app.test".routes]
"/r" = {route}
"""
ROUTES = {
    "app": '{app = "web"}',
    "name": '"web"',
    "grpc": '{app = "web", grpc = true}',
    "upload": '{app = "web", request_buffering = false}',
    "stripped": '{app = "web", strip_prefix = true}',
    "folder": '{folder = "files"}',
    "own": '{app = "web", auth = {app = "proxy", path = "/x", request_headers = ["X-User"]}}',
}


def locations(lines: list[str]) -> dict[str, list[str]]:
    """Of a server block, each with its lines."""
    found: dict[str, list[str]] = {}
    head = ""
    for line in lines:
        if line.startswith("location "):
            head = line.removesuffix(" {")
            found[head] = []
        elif head:
            found[head].append(line)
    return found


@pytest.mark.parametrize("kind", ROUTES)
def test_every_location_that_answers_asks_first(kind):
    lines = site_block(nginx_conf(FILE.format(route=ROUTES[kind])))
    own = locations(lines)
    server = lines[: lines.index(next(line for line in lines if line.startswith("location")))]
    assert any(line.startswith("auth_request /") for line in server)
    answering = {
        head: block
        for head, block in own.items()
        if "/.portico/auth" not in head
        and any(re.match("(proxy_pass|grpc_pass|alias|root) ", line) for line in block)
    }
    assert len(answering) > 2
    for head, block in answering.items():
        assert "auth_request off;" not in block, head
        setters = [line for line in block if re.match("(proxy|grpc)_set_header", line)]
        named = [line for line in setters if line.split()[1] == "X-User"]
        assert all(line.endswith(" $portico_auth_x_user;") for line in named)
        assert bool(setters) == bool(named), head


@pytest.mark.parametrize("kind", ROUTES)
def test_a_redirect_is_behind_the_question(kind):
    text = nginx_conf(FILE.format(route='{redirect = "/new"}'))
    block = locations(site_block(text))["location /r/"]
    assert not any(line.startswith("return 308") for line in block)


def escaped(text: str) -> str:
    """What nginx makes of it with the maps."""
    for table in escaping_maps():
        for line in (table.block or ())[1:]:
            pattern, template = re.findall(r'"([^"]*)"', line.head)
            if found := re.match(pattern.removeprefix("~"), text):
                text = re.sub(r"\$(\d)", lambda part, f=found: f[int(part[1])], template)
                break
    return text


@pytest.mark.parametrize(
    ("char", "most"), [("%", 48), ("&", 24), ("+", 16), (";", 8), ("#", 8), ("?", 0), ("/", 0)]
)
def test_what_means_something_in_a_parameter_is_escaped(char, most):
    code = f"%{ord(char):02X}" if most else char
    for count in range(max(most, 1)):
        text = f"/a?b={char * count}c{char}"
        assert escaped(text) == text.replace(char, code)


def test_what_is_escaped_is_what_was_requested():
    uri = "/%41%26%20b?x=1&y=%25+;z&%26=%2B"
    assert unquote(escaped(uri)) == uri
