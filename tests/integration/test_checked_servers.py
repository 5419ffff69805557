"""Servers elsewhere with a health check: out and back through discovery, without a reload."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.addresses import free_port
from tests.edge import certificate
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually, is_listening

SITE = '[sites."old.localhost"]\nupstream = "old"\n'


class Programs:
    """Two servers; each fails its check while its file is there."""

    def __init__(self, folder: Path, exits: ExitStack) -> None:
        self.ports = [free_port(), free_port()]
        self._marks = [folder / f"unhealthy{number}" for number in range(2)]
        for number, port in enumerate(self.ports):
            own = {"PORT": str(port), "NODE_APP_INSTANCE": str(number)}
            environ = os.environ | own | {"UNHEALTHY": str(self._marks[number])}
            process = exits.enter_context(
                subprocess.Popen([sys.executable, PROGRAMS / "echo.py"], env=environ)
            )
            exits.callback(process.kill)
        for port in self.ports:
            eventually(lambda port=port: is_listening(port))

    def fail(self, number: int) -> None:
        self._marks[number].touch()

    def recover(self, number: int) -> None:
        self._marks[number].unlink()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack() as stack:
        yield stack


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Iterator[Programs]:
    with ExitStack() as exits:
        yield Programs(tmp_path_factory.mktemp("servers"), exits)


@pytest.fixture(scope="module")
def old(stack, programs) -> Stack:
    """With both servers in force, one by its name."""
    one, two = programs.ports
    stack.up(
        f'[upstreams.old]\nservers = ["127.0.0.1:{one}", "localhost:{two}"]\n'
        f'health = {{ path = "/healthz", interval = "0.3s", fall = 2 }}\n{SITE}'
    )
    eventually(lambda: reached(stack) == {0, 1})
    return stack


def reached(stack: Stack) -> set[int]:
    with stack.client("old.localhost") as client:
        return {client.ask("GET", "/").json["instance"] for _ in range(12)}


def unhealthy(stack: Stack) -> set[str]:
    [upstream] = stack.status()["upstreams"]
    return {each["address"] for each in upstream["servers"] if not each["healthy"]}


def test_a_server_that_fails_its_check_gets_no_requests_until_it_passes(old, programs):
    generation = old.status()["nginx"]["generation"]
    address = f"127.0.0.1:{programs.ports[0]}"
    with old.load("old.localhost", rate=50) as load:
        programs.fail(0)
        eventually(lambda: reached(old) == {1})
        assert address in unhealthy(old)
        assert any(f"{address} of upstream old gets no" in each for each in problems(old))
        assert f'server="{address}"}} 0' in old.portico("metrics").stdout
        assert f"server {address} fails its health check" in old.portico("events").stdout
        programs.recover(0)
        eventually(lambda: reached(old) == {0, 1})
        report = load.stop()
    assert report.failed == {}
    assert old.status()["nginx"]["generation"] == generation


def test_the_last_server_is_never_taken_out(old, programs):
    for number in range(2):
        programs.fail(number)
    eventually(lambda: any("every server of upstream old" in each for each in problems(old)))
    eventually(lambda: reached(old) == {0, 1})
    for number in range(2):
        programs.recover(number)
    eventually(lambda: f"127.0.0.1:{programs.ports[1]}" not in unhealthy(old))


def test_a_new_daemon_keeps_out_what_failed(old, programs):
    programs.fail(0)
    eventually(lambda: reached(old) == {1})
    old.kill_daemon()
    assert reached(old) == {1}
    assert f"127.0.0.1:{programs.ports[0]}" in unhealthy(old)  # asked of the next one
    assert reached(old) == {1}
    programs.recover(0)
    eventually(lambda: reached(old) == {0, 1})


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"instance": self.server.server_port}).encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def https_server(folder: Path, name: str) -> Iterator[tuple[int, str, set[str | None]]]:
    """Its port, its certificate, and the names that it was asked for."""
    folder.mkdir()
    pair, names = certificate(folder, frozenset({name})), set[str | None]()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.sni_callback = lambda _, asked, __: names.add(asked)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port, pair.certificate, names
        finally:
            server.shutdown()


def test_an_https_server_is_checked_with_its_name_and_certificate(stack, tmp_path):
    with (
        https_server(tmp_path / "right", "right.test") as (right, trusted, names),
        https_server(tmp_path / "wrong", "wrong.test") as (wrong, also_trusted, _),
    ):
        both = tmp_path / "authorities.pem"
        both.write_text(Path(trusted).read_text() + Path(also_trusted).read_text())
        stack.up(
            f'[upstreams.old]\nservers = ["127.0.0.1:{right}", "127.0.0.1:{wrong}"]\ntls = true\n'
            f'tls_name = "right.test"\ntls_ca = "{both}"\n'
            f'health = {{ path = "/", interval = "0.2s", fall = 1 }}\n{SITE}'
        )
        eventually(lambda: unhealthy(stack) == {f"127.0.0.1:{wrong}"})
        assert any("its certificate is not trusted" in each for each in problems(stack))
        assert names == {"right.test"}
        eventually(lambda: reached(stack) == {right})


def problems(stack: Stack) -> list[str]:
    return stack.status()["troubles"]
