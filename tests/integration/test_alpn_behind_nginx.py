"""TLS-ALPN-01 through the running nginx (RFC 8737), beside visitors of other sites."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPException, HTTPSConnection

import pytest

from tests.fakes import pebble
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(bool(pebble.MISSING), reason=pebble.WHY_SKIPPED)

FILE = """
[tls]
issuer = "{directory}"
ca_bundle = "{root}"
challenge = "tls-alpn-01"
preflight = false

[apps.web]
command = "python3 {program}"
instances = 2

[sites."app.localhost"]
app = "web"

[sites."shop.example.com"]
aliases = ["www.example.com"]
app = "web"
"""
CLIENT = "127.0.0.9"
ADDRESSES = "127.0.0.1", "127.0.0.2"


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[Stack]:
    """A site for an authority's certificate beside one of the machine's own."""
    with pebble.running(tmp_path_factory.mktemp("pebble")) as authority, Stack() as stack:
        stack.http, stack.https = authority.http, authority.tls
        stack.up(
            FILE.format(
                directory=authority.directory,
                root=authority.root,
                program=PROGRAMS / "echo.py",
            ),
            bind=ADDRESSES,
            workers=2,
        )
        yield stack


def certificate(stack):
    (view,) = stack.api("/v1/certificates")
    return view


def is_passing_on(stack) -> bool:
    with suppress(OSError):
        return "ssl_preread on;" in (stack.home / "nginx/current/nginx.conf").read_text()
    return False


@contextmanager
def visitors(stack) -> Iterator[Counter]:
    """Each opens a connection for every request; counts what the program was told of them, by
    whether the question of an authority was passed on just then.
    """
    seen: Counter[tuple[bool, str]] = Counter()
    ended = threading.Event()

    tls = stack.tls()

    def visit(address: str) -> None:
        while not ended.wait(0.01):
            passing = is_passing_on(stack)
            try:
                told = _told(stack, address, tls)
            except (OSError, HTTPException, ValueError) as error:
                seen[passing, f"failed: {error!r}"] += 1
            else:
                names = ("x-real-ip", "x-forwarded-for", "x-forwarded-port")
                seen[passing, " ".join(told[name] for name in names)] += 1

    threads = [threading.Thread(target=visit, args=(address,)) for address in ADDRESSES]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _told(stack, address, tls):
    """The headers with which the program was asked."""
    client = HTTPSConnection("app.localhost", stack.https, context=tls)
    with closing(client):
        plain = socket.create_connection((address, stack.https), 60, source_address=(CLIENT, 0))
        client.sock = tls.wrap_socket(plain, server_hostname="app.localhost")
        client.request("GET", "/")
        return json.loads(client.getresponse().read())["headers"]


def test_names_are_proven_and_no_visitor_of_any_site_notices(stack):
    eventually(lambda: certificate(stack)["served"])
    first = certificate(stack)["serial"]
    with (
        visitors(stack) as seen,
        stack.load("app.localhost", "/?sleep=0.02", rate=60, posts=0.2, websockets=4) as load,
    ):
        eventually(lambda: seen)
        stack.done("certs", "renew", "shop.example.com", "--force")
        report = load.stop()
    assert certificate(stack)["served"]
    assert certificate(stack)["serial"] != first
    assert report.failed == {}
    assert report.messages > 0
    told = f"{CLIENT} {CLIENT} {stack.https}"
    assert set(seen) == {(False, told), (True, told)}
    eventually(lambda: not is_passing_on(stack))


def test_after_the_death_of_nginx_the_socket_it_has_left_is_in_nobodys_way(stack):
    killed = stack.kill_nginx()
    eventually(lambda: stack.status()["nginx"]["pid"] not in {None, killed})
    stack.done("certs", "renew", "shop.example.com", "--force")
    assert certificate(stack)["served"]
    assert stack.get("app.localhost").status == 200
