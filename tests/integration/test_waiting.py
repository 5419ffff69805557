"""Requests that no instance can take now are held for one, through the real nginx and daemon."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.clients import Answer
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually, kill

PROGRAM = f'command = "{sys.executable} {PROGRAMS}/echo.py"'
FILE = f"""
[apps.web]
{PROGRAM}
env = {{ START_DELAY = "0.5", DIE_AT_ONCE = "1" }}

[apps.idle]
{PROGRAM}
autostart = false

[sites."app.localhost"]
app = "web"
wait = "2m"

[sites."app.localhost".routes]
"/raw" = {{ app = "web", request_buffering = false, strip_prefix = true }}
"/short" = {{ app = "idle", wait = {{ timeout = "1s", requests = 3 }} }}
"""
BODY = b"x" * 300_000


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One for all: each test leaves it with an instance that answers."""
    with Stack() as stack:
        stack.up(FILE)
        yield stack


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as clients:
        yield clients


def ask(stack: Stack, method: str = "GET", path: str = "/", body: bytes | None = None) -> Answer:
    with stack.client("app.localhost") as client:
        return client.ask(method, path, body)


def test_a_restart_of_the_only_instance_loses_no_request(stack, clients, tmp_path):
    """Nor a POST that it has received, although it ends at its stop signal without an answer."""
    finish = tmp_path / "finish"
    with stack.load("app.localhost", rate=60, posts=0.5) as load:
        begun = clients.submit(ask, stack, "POST", f"/?until={finish}", BODY)
        restart = clients.submit(stack.done, "restart", "web")
        eventually(lambda: not stack.instances("web"))
        finish.touch()
        restart.result(60)
        report = load.stop()
    assert report.failed == {}
    assert begun.result().status == 200
    assert len(report.answers) == 2


def test_a_crash_of_the_only_instance_loses_no_request(stack, clients):
    [before] = stack.instances("web")
    with stack.load("app.localhost", rate=60) as load:
        kill(before["pid"])
        posts = [clients.submit(ask, stack, "POST", "/", BODY) for _ in range(4)]
        assert [post.result(60).json["body_bytes"] for post in posts] == 4 * [len(BODY)]
        report = load.stop()
    assert report.failed == {}
    assert before["pid"] not in {post.result().json["pid"] for post in posts}


def test_a_post_that_was_sent_is_not_sent_again_however_long_requests_wait(stack):
    began = time.monotonic()
    assert ask(stack, "POST", "/?close=1", BODY).status == 502
    assert time.monotonic() - began < 60  # half of what others wait


def test_the_death_of_the_daemon_costs_no_request_that_waits(stack, clients):
    stack.done("stop", "web")
    held = [clients.submit(ask, stack, "POST", "/", BODY) for _ in range(4)]
    short = [clients.submit(ask, stack, "GET", "/short") for _ in range(12)]
    late = [each.result(60) for each in short]  # by now the others are held too
    assert {answer.status for answer in late} == {503}
    assert {answer.headers["retry-after"] for answer in late} == {"1"}
    assert sum(answer.headers["content-type"] == "text/html" for answer in late) == 12
    stack.kill_daemon()
    stack.done("start", "web")
    assert [each.result(60).json["body_bytes"] for each in held] == 4 * [len(BODY)]


def test_a_pause_holds_requests_and_a_resume_lets_them_go_on(stack, clients):
    stack.done("pause", "--hold", "app.localhost", "--for", "60s")
    stack.kill_daemon()
    assert stack.status()["sites"][0]["held"] == 60
    held = [clients.submit(ask, stack, "POST", path, BODY) for path in 2 * ["/a/b", "/raw/a/b"]]
    before = stack.instances("web")[0]["pid"]
    stack.done("restart", "web")
    assert not any(each.done() for each in held)
    stack.done("resume")
    assert [each.result(60).json["body_bytes"] for each in held] == 4 * [len(BODY)]
    assert before not in {each.result().json["pid"] for each in held}
    assert {each.result().json["path"] for each in held} == {"/a/b"}


def test_a_request_that_is_held_for_too_long_reaches_no_instance(stack):
    stack.done("pause", "--hold", "--for", "0.5s")
    answer = ask(stack, "POST", "/", BODY)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    stack.done("pause", "app.localhost")
    assert b"Back soon" in ask(stack).body
    stack.done("resume", "app.localhost")
    eventually(lambda: ask(stack).status == 200)
