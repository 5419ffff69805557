"""Streams to servers, of nginx alone: each keeps what its keys say."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.edge import Edge
from tests.lines import Lines
from tests.stack import free_port


@contextmanager
def server(name: str) -> Iterator[int]:
    """Greets each connection with a name and what it has read of it; returns its port."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(f"{name}\n".encode())
            while data := connection.recv(4096):
                connection.sendall(f"{name} ".encode() + data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(60)


PORTS = {name: free_port() for name in ("both", "once", "denied", "silent", "hash")}


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    dead = free_port()
    with server("1") as first, server("2") as second:
        text = f"""
            [upstreams.one-dead]
            servers = ["127.0.0.1:{dead}", "127.0.0.1:{first}"]
            [upstreams.two]
            servers = ["127.0.0.1:{first}", "127.0.0.1:{second}"]
            [streams."{PORTS["both"]}"]
            upstream = "one-dead"
            [streams."127.0.0.1:{PORTS["once"]}"]
            upstream = "one-dead"
            proxy_next_upstream = false
            [streams."{PORTS["denied"]}"]
            upstream = "two"
            deny = ["127.0.0.0/8"]
            [streams."{PORTS["silent"]}"]
            upstream = "two"
            proxy_timeout = "300ms"
            [streams."{PORTS["hash"]}"]
            upstream = "two"
            balance = "ip_hash"
        """
        with Edge(text) as edge:
            yield edge


def _reached(port: int, count: int = 20) -> Counter[str]:
    found = Counter[str]()
    for _ in range(count):
        try:
            with Lines(port) as lines:
                found[lines.greeting] += 1
        except (EOFError, ConnectionResetError):
            found["lost"] += 1
    return found


def test_a_connection_that_fails_is_tried_on_the_next_server(edge):
    assert _reached(PORTS["both"]) == {"1": 20}


def test_it_is_lost_without_proxy_next_upstream(edge):
    assert _reached(PORTS["once"])["lost"] > 0


def test_networks_that_are_denied_get_nothing(edge):
    assert _reached(PORTS["denied"], 2) == {"lost": 2}


def test_a_silent_connection_ends_after_proxy_timeout(edge):
    with Lines(PORTS["silent"]) as lines:
        assert lines.echo("x").endswith(" x")
        with pytest.raises(EOFError):
            lines.read_line()


def test_a_client_stays_with_its_server_by_hash(edge):
    assert len(_reached(PORTS["hash"])) == 1
