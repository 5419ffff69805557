"""Servers that Portico does not run: nginx's `server` lines with every parameter, seen to act."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.addresses import free_port
from tests.clients import Client
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually, is_listening


class Refuser:
    """A server that hangs up on everybody, and counts them."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", free_port()))
        self.port = self._socket.getsockname()[1]
        self.calls = 0
        threading.Thread(target=self._refuse, daemon=True).start()

    def _refuse(self) -> None:
        with suppress(OSError):
            while True:
                self._socket.accept()[0].close()
                self.calls += 1

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # ends the accept; close alone would not
        self._socket.close()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One for all: each test puts a file of its own in force."""
    with Stack() as stack:
        yield stack


@pytest.fixture(scope="module")
def servers() -> Iterator[list[int]]:
    """Ports of three servers that answer, numbered from 0."""
    with ExitStack() as exits:
        ports = [free_port() for _ in range(3)]
        for number, port in enumerate(ports):
            environ = os.environ | {"PORT": str(port), "NODE_APP_INSTANCE": str(number)}
            process = exits.enter_context(
                subprocess.Popen([sys.executable, PROGRAMS / "echo.py"], env=environ)
            )
            exits.callback(process.kill)
        for port in ports:
            eventually(lambda port=port: is_listening(port))
        yield ports


@pytest.fixture
def refuser() -> Iterator[Refuser]:
    refuser = Refuser()
    yield refuser
    refuser.close()


def upstream(*servers: dict[str, object], balance: str = "round_robin") -> str:
    tables = ", ".join(
        "{" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in server.items()) + "}"
        for server in servers
    )
    return (
        f'[upstreams.old]\nbalance = "{balance}"\nservers = [{tables}]\n'
        f'[sites."old.localhost"]\nupstream = "old"\n'
    )


def at(port: int, **parameters: object) -> dict[str, object]:
    return {"address": f"127.0.0.1:{port}"} | parameters


def spread(stack: Stack, number: int, path: str = "/") -> Counter[int]:
    with clients_of(stack, min(number, 16)) as clients:
        return asked(clients, number, path)


@contextmanager
def clients_of(stack: Stack, number: int) -> Iterator[list[Client]]:
    with ExitStack() as exits:
        yield [exits.enter_context(stack.client("old.localhost")) for _ in range(number)]


def asked(clients: list[Client], number: int, path: str = "/") -> Counter[int]:
    """Who answers so many requests, one after the other."""
    seen: Counter[int] = Counter()
    for turn in range(number):
        answer = clients[turn % len(clients)].ask("GET", path)
        assert answer.status == 200
        seen[answer.json["instance"]] += 1
    return seen


def test_weight_backup_and_down(stack, servers):
    one, two, three = servers
    stack.up(upstream(at(one, weight=3), at(two), at(three)), workers=2)
    seen = spread(stack, 400)
    assert abs(seen[0] - 240) <= 15, seen
    assert abs(seen[1] - 80) <= 15, seen

    stack.up(upstream(at(one), at(two, down=True), at(three, backup=True)), workers=2)
    assert set(spread(stack, 100)) == {0}

    stack.up(upstream(at(free_port()), at(two, down=True), at(three, backup=True)), workers=2)
    assert set(spread(stack, 100)) == {2}


def test_a_failing_server_is_left_alone_for_fail_timeout(stack, servers, refuser):
    bad = at(refuser.port, max_fails=2, fail_timeout="5s")
    stack.up(upstream(bad, at(servers[0])), workers=2)
    assert spread(stack, 100) == {0: 100}
    assert refuser.calls == 2
    assert eventually(lambda: spread(stack, 4) and refuser.calls > 2)


def test_max_fails_0_asks_a_failing_server_every_time(stack, servers, refuser):
    stack.up(upstream(at(refuser.port, max_fails=0), at(servers[0])), workers=2)
    assert spread(stack, 100) == {0: 100}
    assert refuser.calls >= 45


def test_max_conns_sends_the_rest_elsewhere(stack, servers):
    stack.up(upstream(at(servers[0], max_conns=1), at(servers[1])), workers=2)
    with stack.load("old.localhost", "/?sleep=0.1", connections=8, seconds=3) as load:
        report = load.report()
    assert report.failed == {}
    # One at a time, a tenth of a second each, against seven at a time.
    assert report.instances["0"] < report.instances["1"] / 4, report.instances


@pytest.mark.parametrize(
    "balance", ["hash $arg_key", "hash $arg_key consistent", "ip_hash", "random", "least_conn",
                "least_time header", "least_time last_byte inflight"]
)  # fmt: skip
def test_every_method_takes_plain_servers(stack, servers, balance):
    stack.up(upstream(*map(at, servers), balance=balance), workers=2)
    with clients_of(stack, 8) as clients:  # of both workers
        keyed = [set(asked(clients[n % 5 :][:4], 4, f"/?key={n}")) for n in range(40)]
    if "hash" in balance:
        assert all(len(places) == 1 for places in keyed), keyed
    # Every client here has one address, and least_time keeps to a server that was quicker once.
    if not balance.startswith(("ip_hash", "least_time")):
        assert set.union(*keyed) == {0, 1, 2}
