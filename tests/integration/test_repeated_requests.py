"""How often a request reaches a program, counted at the programs behind the real nginx.

A program that hangs up is what nginx sees of one that a request has killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO
from uuid import uuid4

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection

from tests.addresses import free_port
from tests.clients import Client
from tests.edge import Edge
from tests.fakes.backend import Backend
from tests.fakes.discovery import FakeDiscovery
from tests.waiting import eventually

METHODS = {
    "turns": "round_robin",
    "fewest": "least_conn",
    "placed": "hash $arg_key",
    "sticky": "round_robin",
}
FILE = (
    """
[apps.web]
command = "run"

[apps.calls]
command = "run"

[upstreams.old]
servers = [SERVERS]

[sites."app.test"]
app = "web"
proxy_read_timeout = 1

[sites."app.test".routes]
"/never" = {app = "web", retries = 0}
"/thrice" = {app = "web", retries = 3}
"/stream" = {app = "web", request_buffering = false}
"/old" = "old"
"/calls" = {app = "calls", grpc = true}
"""
    + "".join(f'"/{name}" = "{name}"\n' for name in METHODS)
    + "".join(
        f'[apps.{name}]\ncommand = "run"\nbalance = "{method}"\n'
        f"sticky = {str(name == 'sticky').lower()}\n"
        for name, method in METHODS.items()
    )
)
ALL = 4
SETTINGS, PING, GOAWAY, MAX_CONCURRENT_STREAMS = 4, 6, 7, 3
HEAD = [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "app.test")]


@pytest.fixture(scope="module")
def programs() -> Iterator[list[Backend]]:
    with ExitStack() as exits:
        yield [exits.enter_context(Backend()) for _ in range(ALL)]


@pytest.fixture(scope="module")
def edge(programs) -> Iterator[Edge]:
    ports = [program.port for program in programs]
    half_dead = [*ports[:2], free_port(), free_port()]
    peers = {"web": ports, "calls": ports} | dict.fromkeys(METHODS, half_dead)
    text = FILE.replace("SERVERS", ", ".join(f'"127.0.0.1:{port}"' for port in ports))
    with FakeDiscovery(**peers) as discovery, Edge(text, discovery.address) as edge:
        for path in ("/", *(f"/{name}" for name in METHODS)):
            eventually(lambda path=path: edge.get("app.test", path).status == 200)
        yield edge


@pytest.fixture
def client(edge, programs) -> Iterator[Client]:
    """On one connection, so of one worker of nginx, which has kept connections to all programs.
    For a second it passes over those that failed; a try that then meets the same one again is not
    counted, because that one is dying.
    """
    with edge.client("app.test") as client:

        def reached_by(path: str) -> set[int]:
            answers = [client.ask("GET", path) for _ in range(2 * ALL)]
            assert {each.status for each in answers} == {200}
            return {each.json["port"] for each in answers}

        for path in ("/", "/old", "/never", "/thrice", "/stream"):
            eventually(lambda path=path: len(reached_by(path)) == ALL, every=0.3)
        yield client


def reached(programs: list[Backend], path: str) -> int:
    return sum(path in asked for program in programs for asked in program.asked)


@pytest.mark.parametrize(
    ("method", "path", "times"),
    [
        ("GET", "/", 2),
        ("HEAD", "/", 2),
        ("OPTIONS", "/", 2),
        ("GET", "/old", 2),
        ("GET", "/stream", 2),
        ("GET", "/never", 1),
        ("GET", "/thrice", 4),
        *((method, "/", 1) for method in ("POST", "PUT", "PATCH", "DELETE")),
        *((method, "/thrice", 1) for method in ("POST", "PUT", "PATCH", "DELETE")),
        *((method, "/stream", 1) for method in ("POST", "PUT", "PATCH", "DELETE")),
    ],
)
def test_a_request_that_kills_what_it_reaches_reaches_so_many(
    client, programs, method, path, times
):
    path = f"{path}?hang_up={uuid4()}"
    assert client.ask(method, path).status == 502
    assert reached(programs, path) == times


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_a_request_that_takes_too_long_is_not_repeated(client, programs, method):
    path = f"/?sleep=2&{uuid4()}"
    assert client.ask(method, path).status == 504
    assert reached(programs, path) == 1


@pytest.mark.parametrize("answer", ["header=20000", "begin=HTTP/1.1%20200%20OK%0d%0aA", "begin=H"])
def test_a_request_whose_answer_has_begun_is_not_repeated(client, programs, answer):
    path = f"/?{answer}&{uuid4()}"
    assert client.ask("GET", path).status == 502
    assert reached(programs, path) == 1


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("name", METHODS)
def test_what_was_sent_to_nobody_goes_to_an_instance_that_lives(edge, name, method):
    """Two of four are dead, and nginx was not told yet."""
    body = None if method == "GET" else b"x" * 300_000
    with edge.client("app.test") as client:
        client.ask("GET", f"/{name}")
        for number in range(24):
            answer = client.ask(method, f"/{name}?key={number}", body)
            assert answer.status == 200
            assert answer.json["body"] == len(body or b"")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_call_of_grpc_reaches_one_program(edge, programs, method):
    """These speak HTTP/1.1, so every call is cut off."""

    def connections() -> int:
        before = sum(program.connections for program in programs)
        assert edge.ask(method, "app.test", "/calls").status == 502
        return sum(program.connections for program in programs) - before

    eventually(connections)  # nginx has asked where they are
    assert connections() == 1


def test_a_connection_of_http_2_resets_a_thousand_requests_at_most(edge):
    """Each costs nginx and a program work, and the client nothing (CVE-2023-44487)."""
    context = edge.tls()
    context.set_alpn_protocols(["h2"])
    client, sent = H2Connection(H2Configuration()), 0
    seen = dict[int, bytes]()
    with edge.handshake("app.test", context) as tls, tls.makefile("rb") as answers:
        client.initiate_connection()
        while GOAWAY not in seen and sent < 3000:
            for _ in range(50):
                stream = client.get_next_available_stream_id()
                client.send_headers(stream, HEAD, end_stream=True)
                client.reset_stream(stream)
            sent += 50
            client.ping(b"12345678")
            tls.sendall(client.data_to_send())
            seen |= frames_until_ping(answers)
    assert MAX_CONCURRENT_STREAMS.to_bytes(2) + (128).to_bytes(4) in seen[SETTINGS]
    assert int.from_bytes(seen[GOAWAY][:4]) == 2 * 1000 - 1  # the last stream that was taken


def frames_until_ping(answers: BinaryIO) -> dict[int, bytes]:
    """Kind to content (RFC 9113 4.1)."""
    seen = dict[int, bytes]()
    while PING not in seen and (head := answers.read(9)):
        content = answers.read(int.from_bytes(head[:3]))
        seen[head[3]] = seen.get(head[3], b"") + content
    return seen
