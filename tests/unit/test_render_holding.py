"""A site whose requests are held until it is resumed."""

from __future__ import annotations

from dataclasses import replace

from portico.core.model.names import hold_host
from portico.core.render.generation import render_generation
from tests.rendered import APP, block, place_for, wanted

FILE = (
    f'{APP}[sites."app.test"]\napp = "web"\nhttps = false\n'
    '[sites."app.test".routes]\n"/calls" = {app = "web", grpc = true}\n'
    '"/upload" = {app = "web", request_buffering = false}\n'
    '"/files" = {folder = "public"}\n'
)


def conf(seconds: float | None = 20.0) -> str:
    holds = {} if seconds is None else {"app.test": seconds}
    desired = replace(wanted(FILE), holds=holds)
    return render_generation(desired, place_for(desired))["nginx.conf"]


def test_requests_that_would_be_passed_on_are_held():
    text = conf()
    assert "return 420;" in text.split("location / {\n", 2)[-1].split("location ", 1)[0]
    lines = block(text, "location @hold_0")
    assert "resolver_timeout 20s;" in lines
    assert any(line.endswith(f'.{hold_host("app.test")}:2";') for line in lines)


def test_a_body_is_kept_whole_until_it_can_be_passed_on():
    text = conf()
    assert 'error_page 502 504 = "@${portico_resumed_stream}_2";' in block(
        text, "location @hold_2"
    )
    assert "proxy_request_buffering off;" not in block(text, "location @hold_2")


def test_a_call_of_grpc_is_refused_and_a_file_is_served():
    text = conf()
    assert "return 503;" in block(text, "location /calls/")
    assert "return 420;" not in block(text, "location /files/")


def test_a_site_that_is_not_held_has_nothing_of_it():
    assert "420" not in conf(None)
    assert "portico_resumed" not in conf(None)
