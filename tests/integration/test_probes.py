"""Probes of real servers, and of servers that behave as no server should."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager, closing

import pytest

from portico.adapters.probes.loopback import LoopbackProbes
from portico.core.model.check import Check


def probe(answer, *, listens="127.0.0.1", **check):
    """Probe a server that answers each connection with these bytes; what it received, too."""
    received = []

    async def scenario():
        async with serving(answer, listens, received) as port:
            said = await LoopbackProbes().probe(Check(**{"timeout": 5.0} | check), port)
            return said and said.replace(str(port), "PORT")

    return asyncio.run(scenario()), b"".join(received)


@asynccontextmanager
async def serving(answer, host, received):
    async def serve(reader, writer):
        if answer is None:  # reads, and never answers
            received.append(await reader.read(65536))
            await reader.read()
        else:
            received.append(await reader.readuntil(b"\r\n\r\n") if answer else b"")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, host, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def ok(status=200, body=b"well"):
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def test_without_a_path_a_connection_is_enough():
    assert probe(b"") == (None, b"")


def test_with_a_path_it_asks_for_it():
    said, received = probe(ok(), path="/healthz?deep=1")
    assert said is None
    assert received.startswith(b"GET /healthz?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nConnection: close\r\n" in received


def test_the_host_header_is_the_one_of_the_check():
    assert b"\r\nHost: app.example\r\n" in probe(ok(), host="app.example", path="/")[1]


@pytest.mark.parametrize(
    ("status", "good", "said"),
    [
        (200, (), None),
        (204, (), None),
        (302, (), None),
        (404, (), "answered 404"),
        (503, (), "answered 503"),
        (404, (200, 404), None),
        (204, (200,), "answered 204"),
    ],
)
def test_the_status_is_the_verdict(status, good, said):
    answer = b"HTTP/1.1 %d X\r\n\r\n" % status if status in {204, 304} else ok(status)
    assert probe(answer, path="/", status=good)[0] == said


def test_early_hints_and_endless_or_broken_bodies_do_not_change_it():
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    assert probe(hints + ok(), path="/")[0] is None
    assert probe(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 10_000_000, path="/")[0] is None
    assert probe(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", path="/")[0] is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 20", "closed the connection without an answer"),
        (b"\x15\x03\x03\x00\x02\x02\x50", "is no HTTP: it speaks TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "is no HTTP: it sent b'SSH-2.0-OpenSSH_9.2\\r'"),
    ],
)
def test_what_is_no_http_is_said(answer, said):
    assert probe(answer, path="/")[0] == said


def test_silence_is_not_waited_for_longer_than_the_timeout():
    begun = time.monotonic()
    assert probe(None, path="/", timeout=0.2)[0] == "no answer within 0.2s"
    assert time.monotonic() - begun < 2


def test_where_nothing_listens():
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    said = asyncio.run(LoopbackProbes().probe(Check(), port))
    assert said == f"nothing listens on port {port}"


def test_an_app_that_nginx_cannot_reach_is_told_so():
    assert (
        probe(ok(), listens="::1")[0] == "listens on [::1]:PORT only: make it listen on 127.0.0.1"
    )
