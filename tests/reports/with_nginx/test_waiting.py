"""Public reports about requests while the only instance of an app is restarted."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.addresses import free_port
from tests.edge import Edge
from tests.fakes.backend import Backend
from tests.fakes.discovery import FakeDiscovery
from tests.waiting import eventually

FILE = """
[apps.web]
command = "run"

[sites."app.test"]
app = "web"
wait = "60s"
"""


@pytest.fixture(scope="module")
def discovery() -> Iterator[FakeDiscovery]:
    with FakeDiscovery(web=[free_port()]) as discovery:
        yield discovery


@pytest.fixture(scope="module")
def edge(discovery) -> Iterator[Edge]:
    with Edge(FILE, discovery.address) as edge:
        yield edge


def test_requests_wait_while_the_only_instance_restarts_and_a_body_is_sent_whole(edge, discovery):
    """https://github.com/joemccann/radon/pull/91: each deploy hands the gap between the stop of
    the only process and its start to browsers, as 502; https://github.com/caddyserver/caddy/issues/5454:
    a POST that is tried again fails, because its body was read already.
    """
    body = b"x" * 300_000
    with Backend() as backend, ThreadPoolExecutor(8) as clients, edge.client("app.test") as client:
        held = clients.submit(client.ask, "POST", "/", body)
        eventually(lambda: discovery.waiting)
        assert not held.done()
        move(discovery, backend.port)
        discovery.release()
        answer = held.result(60)
        assert (answer.status, answer.json["body"]) == (200, len(body))
        assert backend.asked == ["POST /"]


def test_a_post_that_a_program_has_received_before_it_ended_is_not_sent_again(edge, discovery):
    """https://github.com/caddyserver/caddy/issues/6259: a POST whose answer takes ten seconds is
    lost when its container restarts; nobody but the program knows whether it was carried out.
    """
    with Backend() as backend, edge.client("app.test") as client:
        move(discovery, backend.port)
        assert client.ask("POST", "/?hang_up=1", b"x").status == 502
        assert backend.asked.count("POST /?hang_up=1") == 1


def move(discovery: FakeDiscovery, port: int) -> None:
    """Both upstreams of the app have asked twice then, so that nginx acts on the first answer."""
    discovery.peers["web"] = [port]
    asked = len(discovery.asked)
    eventually(lambda: len(discovery.asked) >= asked + 4)
