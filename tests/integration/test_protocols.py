"""What is more than a short request and its answer, through the real thing on HTTPS."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest
from websockets.asyncio.client import connect

from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

LARGE = 1 << 26
"""Bytes: more than the buffers of nginx and of sockets hold."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One after the other, each test brings up its own file in it."""
    with Stack() as stack:
        yield stack


def up(stack: Stack, program: str, app: str = "", site: str = "") -> None:
    stack.up(
        f"[apps.web]\ncommand = '{sys.executable} {PROGRAMS / program}'\ninstances = 2\n{app}\n"
        f"[sites.'app.localhost']\napp = 'web'\n{site}\n"
    )


@contextmanager
def opened(stack: Stack, receive_buffer: int = 0) -> Iterator[ssl.SSLSocket]:
    """A bare connection to the site, for what no client library does."""
    with socket.socket() as plain:
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.settimeout(60)
        plain.connect(("127.0.0.1", stack.https))
        with stack.tls().wrap_socket(plain, server_hostname="app.localhost") as tls:
            yield tls


def test_websockets_stay_open_and_reach_every_instance(stack):
    up(stack, "websocket.py")
    uri = stack.url("app.localhost").replace("https", "wss")
    everyone = {i["pid"] for i in stack.instances("web")}

    async def talk() -> list[set[int]]:
        sockets = [
            await connect(uri, ssl=stack.tls(), host="127.0.0.1", port=stack.https, proxy=None)
            for _ in range(4)
        ]
        pids: list[set[int]] = []
        for number, socket_ in enumerate(sockets):
            heard = set()
            for text in (f"hello {number}", "x" * 100_000):
                await socket_.send(text)
                answer = json.loads(await asyncio.wait_for(socket_.recv(), 60))
                assert answer["text"] == text
                heard.add(answer["pid"])
            pids.append(heard)
        for socket_ in sockets:
            await socket_.close()
        return pids

    pids = asyncio.run(talk())
    assert all(len(heard) == 1 for heard in pids)
    assert set.union(*pids) == everyone


@pytest.mark.parametrize(
    ("site", "query", "accept"),
    [
        ("", "", "text/event-stream"),
        ("request_buffering = false", "", "application/x-ndjson, */*;q=0.1"),
        ("buffering = false", "", "*/*"),
        ("", "&accel=no", "*/*"),
    ],
    ids=["client", "client, lines", "file", "program"],
)
def test_server_sent_events_arrive_one_by_one(stack, tmp_path, site, query, accept):
    """The client says so, or the file does, or the program with a header that nginx knows. It
    sends none before the last one was heard.
    """
    up(stack, "events.py", site=site)
    with opened(stack) as tls:
        path = f"/events?n=5&heard={tmp_path}{query}"
        head = f"Host: app.localhost\r\nAccept: {accept}\r\n\r\n"
        tls.sendall(f"GET {path} HTTP/1.1\r\n{head}".encode())
        heard = []
        with tls.makefile("rb") as lines:
            while len(heard) < 5:
                line = lines.readline()
                assert line, "the stream ended early"
                if line.startswith(b"data: "):
                    heard.append(json.loads(line[6:])["number"])
                    (tmp_path / str(heard[-1])).touch()
    assert heard == [1, 2, 3, 4, 5]


def test_grpc_calls_of_every_kind(stack):
    up(stack, "grpc_echo.py", site="grpc = true")
    credentials = grpc.ssl_channel_credentials(stack.authority.read_bytes())
    name = (("grpc.ssl_target_name_override", "app.localhost"),)
    with grpc.secure_channel(f"127.0.0.1:{stack.https}", credentials, name) as channel:
        say = channel.unary_unary("/echo.Echo/Say")
        heard = {say(b"hello", timeout=60).split(b":")[0] for _ in range(10)}
        numbers = list(channel.unary_stream("/echo.Echo/Count")(b"5", timeout=60))
        joined = channel.stream_unary("/echo.Echo/Join")(iter([b"a", b"b", b"c"]), timeout=60)
    assert heard == {str(i["pid"]).encode() for i in stack.instances("web")}
    assert numbers == [b"1", b"2", b"3", b"4", b"5"]
    assert joined == b"abc"


@pytest.mark.slow
@pytest.mark.parametrize("request_buffering", ["true", "false"])
def test_a_large_upload_arrives_whole(stack, request_buffering):
    site = f"client_max_body_size = '2g'\nrequest_buffering = {request_buffering}"
    up(stack, "upload.py", site=site)
    chunk = hashlib.sha256(b"portico").digest() * 32768  # 1 MiB
    digest = hashlib.sha256()
    with opened(stack) as tls:
        tls.sendall(
            b"POST / HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % LARGE
        )
        for _ in range(LARGE // len(chunk)):
            tls.sendall(chunk)
            digest.update(chunk)
        with tls.makefile("rb") as answer:
            assert b" 200 " in answer.readline()
            facts = json.loads(answer.read().split(b"\r\n\r\n")[1])
    assert facts["bytes"] == LARGE
    assert facts["sha256"] == digest.hexdigest()


def test_a_body_above_the_limit_is_refused_in_words_of_http(stack):
    up(stack, "echo.py", site="client_max_body_size = '1k'")
    with stack.client("app.localhost") as client:
        assert client.ask("POST", body=b"x" * 1000).json["body_bytes"] == 1000
    with stack.client("app.localhost") as client:
        assert client.ask("POST", body=b"x" * 1100).status == 413


def test_a_client_that_reads_slowly_does_not_hold_an_instance(stack):
    up(stack, "echo.py")
    with opened(stack, receive_buffer=4096) as tls:
        size = 4_000_000
        tls.sendall(b"GET /?size=%d HTTP/1.1\r\nHost: app.localhost\r\n\r\n" % size)
        begin = tls.recv(100)
        # It has read next to nothing; yet no instance is busy with it any more.
        assert eventually(lambda: _open_requests(stack) == {0: 1, 1: 1})
        got = len(begin)
        while got < size:
            more = tls.recv(65536)
            assert more
            got += len(more)


def _open_requests(stack: Stack) -> dict[int, int]:
    """By instance; the request that asks is one of them."""
    with stack.client("app.localhost") as client:
        answers = [client.ask("GET").json for _ in range(4)]
    return {answer["instance"]: answer["open"] for answer in answers}


def test_a_client_that_sends_slowly_is_waited_for_by_nginx_alone(stack):
    up(stack, "echo.py")
    with opened(stack) as tls:
        tls.sendall(b"POST /slow HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 10\r\n\r\n")
        for byte in b"0123456789":
            tls.sendall(bytes([byte]))
            assert _open_requests(stack) == {0: 1, 1: 1}
        with tls.makefile("rb") as answer:
            assert b" 200 " in answer.readline()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_http_2_is_spoken_to_clients_and_http_is_redirected(stack):
    up(stack, "echo.py")

    def curl(url: str) -> str:
        command = ["curl", "-sS", "-o", "/dev/null", "--cacert", str(stack.authority)]
        for port in (stack.http, stack.https):
            command += ["--resolve", f"app.localhost:{port}:127.0.0.1"]
        command += ["-w", "%{http_version} %{http_code} %{redirect_url}", url]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert curl(stack.url("app.localhost")) == "2 200 "
    plain = f"http://app.localhost:{stack.http}/a?b=c"
    assert curl(plain) == f"1.1 308 https://app.localhost:{stack.https}/a?b=c"
