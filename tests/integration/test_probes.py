"""Probes of real servers, and of servers that behave as no server should."""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager, closing, contextmanager, suppress

import pytest

from portico.adapters.probes.loopback import LoopbackProbes
from portico.core.model.check import Check
from tests.instances import PROGRAMS

PROBED = 5


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
        with closing(writer), suppress(ConnectionError):  # a probe may have heard enough
            if answer is None:  # reads, and never answers
                received.append(await reader.read(65536))
                await reader.read()
                return
            received.append(await reader.readuntil(b"\r\n\r\n") if answer else b"")
            if received[-1].startswith(b"PRI "):
                received.append(await reader.read(65536))
            writer.write(answer)
            await writer.drain()

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
        (404, (), "/ answered 404"),
        (503, (), "/ answered 503"),
        (404, (200, 404), None),
        (204, (200,), "/ answered 204"),
    ],
)
def test_the_status_is_the_verdict(status, good, said):
    answer = b"HTTP/1.1 %d X\r\n\r\n" % status if status in {204, 304} else ok(status)
    assert probe(answer, path="/", status=good)[0] == said


def test_a_head_request_has_no_body_to_wait_for():
    said, received = probe(ok(), path="/", method="HEAD")
    assert said is None
    assert received.startswith(b"HEAD / HTTP/1.1\r\n")


def test_own_headers_are_sent_and_may_replace_those_of_portico():
    _, received = probe(ok(), path="/", headers={"X-Probe": "1", "User-Agent": "checker"})
    head = received.lower()
    assert b"\r\nx-probe: 1\r\n" in head
    assert b"\r\nuser-agent: checker\r\n" in head
    assert b"user-agent: portico" not in head


@pytest.mark.parametrize(
    ("body", "wanted", "said"),
    [
        (b"all is well", "well", None),
        (b"all is well", "unwell", "/ answered 200 without 'unwell'"),
        (b"status: OK\n", "~ (?im)^status: ok$", None),
        (b"status: bad\n", "~ ^status: ok", "/ answered 200 without '~ ^status: ok'"),
        (b"x" * 200_000 + b"end", "end", None),
        (b"x" * 300_000 + b"end", "end", "/ answered 200 without 'end'"),
        (b"\xff well", "well", None),
    ],
)
def test_the_body_is_searched(body, wanted, said):
    assert probe(ok(body=body), path="/", body=wanted)[0] == said


def test_a_wrong_status_is_said_before_a_wrong_body():
    assert probe(ok(status=500), path="/", body="nothing")[0] == "/ answered 500"


def test_early_hints_and_endless_or_broken_bodies_do_not_change_it():
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    assert probe(hints + ok(), path="/")[0] is None
    assert probe(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 10_000_000, path="/")[0] is None
    assert probe(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", path="/")[0] is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "closed the connection without answering"),
        (b"HTTP/1.1 20", "closed the connection without answering"),
        (b"\x15\x03\x03\x00\x02\x02\x50", "does not speak HTTP: it speaks TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP: it sent b'SSH-2.0-OpenSSH_9.2\\r'"),
    ],
)
def test_what_is_no_http_is_said(answer, said):
    assert probe(answer, path="/")[0] == said


def test_silence_is_not_waited_for_longer_than_the_timeout():
    begun = time.monotonic()
    assert probe(None, path="/", timeout=0.2)[0] == "no answer within 0.2s"
    assert time.monotonic() - begun < 60


def test_where_nothing_listens():
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    said = asyncio.run(LoopbackProbes().probe(Check(), port))
    assert said == f"nothing listens on port {port}"


def test_an_app_that_nginx_cannot_reach_is_told_so():
    assert (
        probe(ok(), listens="::1")[0] == "listens on [::1]:PORT only; make it listen on 127.0.0.1"
    )


@pytest.fixture(scope="module")
def grpc_server():
    with running("grpc_health.py") as port:
        yield port


@contextmanager
def running(program, *arguments):
    """A gRPC program on a free port, once it listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, PROGRAMS / program, *arguments],
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout.readline() == b"listens\n"
        yield port
    finally:
        process.kill()
        process.communicate()


def probe_grpc(port, service=True, **check):  # noqa: FBT002 - as the file has it
    return asyncio.run(LoopbackProbes().probe(Check(grpc=service, timeout=60.0, **check), port))


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (True, None),
        ("up", None),
        ("down", "answered NOT_SERVING"),
        ("other", 'knows no service "other"'),
    ],
)
def test_a_grpc_server_says_how_it_is(grpc_server, service, said):
    assert probe_grpc(grpc_server, service) == said


def test_a_grpc_server_without_health_is_told_so():
    with running("grpc_health.py", "without") as port:
        assert probe_grpc(port) == "does not offer grpc.health.v1"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "does not speak gRPC: it sent b'HTTP/1.1 400 Bad Req'",
        ),
        (b"\x15\x03\x03\x00\x02\x02\x50", "does not speak gRPC: it speaks TLS"),
        (b"", "closed the connection without answering"),
    ],
)
def test_what_is_no_grpc_is_said(answer, said):
    assert probe(answer, grpc=True)[0] == said


def test_a_probe_takes_few_turns_of_the_loop():
    """With many instances they are most of what an idle daemon does."""
    turns = 0

    class Counted(selectors.DefaultSelector):
        def select(self, timeout=None):
            nonlocal turns
            turns += 1
            return super().select(timeout)

    async def turns_of_one(port):
        nonlocal turns
        turns = 0
        assert await LoopbackProbes().probe(Check(path="/", timeout=60.0), port) is None
        return turns

    async def scenario(port):
        return [await turns_of_one(port) for _ in range(PROBED)]

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            for _ in range(PROBED):
                with listening.accept()[0] as connection:
                    connection.recv(65536)
                    connection.sendall(ok())
                    connection.recv(65536)

        answering = threading.Thread(target=answer)
        answering.start()
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Counted())) as runner:
            taken = runner.run(scenario(listening.getsockname()[1]))
        answering.join()
    # For the answer, and for its reader; where the kernel connects later, there are more.
    assert min(taken) <= 2
