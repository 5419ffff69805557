"""Requests that cross from one machine's nginx to another's: three nginxes, each with its own
authority-signed certificate, on ports of loopback.
"""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from time import time

import grpc
import pytest

from portico.core.model.cluster import OwnMachine, machine_host
from portico.system.machine_certificates import MachineAuthority
from tests.edge import Edge
from tests.fakes.backend import Backend
from tests.fakes.discovery import FakeDiscovery
from tests.programs.grpc_echo import started
from tests.stack import eventually, free_port

FILE = """
[apps.web]
command = "run"
[apps.away]
command = "run"
on = ["m2", "m3"]
[apps.full]
command = "run"
max_conns = 1
[apps.calls]
command = "run"
on = ["m2"]
[apps.rogue]
command = "run"
on = ["m2"]

[sites."app.test"]
app = "web"
default = true
[sites."app.test".routes]
"/away" = "away"
"/full" = "full"
"/upload" = { app = "away", request_buffering = false, client_max_body_size = "100m" }
"/echo.Echo/" = { app = "calls", grpc = true }
"/rogue" = "rogue"
"/asked" = { app = "web", auth = { app = "away", path = "/question" } }
"/copied" = { app = "web", mirror = { app = "away" } }
"""
NAMES = ("m3", "m2", "m1")
CLOSED = 1
"""A port of loopback on which nothing listens: TCP port service multiplexer (RFC 1078)."""


class Machines:
    """Three machines of one cluster; `m1` is the one that is entered."""

    def __init__(self, folder: Path, exits: ExitStack) -> None:
        self.authority = MachineAuthority.create("0f8b2c1e-cluster", time())
        self.folder = folder
        (folder / "authority.pem").write_bytes(self.authority.pem)
        self.ports = {name: free_port() for name in NAMES}
        tables = (
            f'[machines.{name}]\naddress = "127.0.0.1"\nport = {self.ports[name]}\n'
            for name in NAMES
        )
        self.text = FILE + "\n".join(tables)
        self.programs = {name: exits.enter_context(Backend()) for name in NAMES}
        grpc_server, self.grpc_port = started(0)
        exits.callback(lambda: grpc_server.stop(None).wait())
        self.discovery: dict[str, FakeDiscovery] = {}
        self.edge: dict[str, Edge] = {}
        for name in NAMES:
            others = [port for other, port in self.ports.items() if other != name]
            own, port = ["web", "full"], self.programs[name].port
            own += ["away"] if name != "m1" else []
            far = {f"far.{app}": others for app in ("web", "away", "full")}
            peers = {app: [port] for app in own} | far | {"far.calls": [self.ports["m2"]]}
            peers["calls"] = [self.grpc_port]
            peers["far.rogue"] = [self.edge["m2"].https] if "m2" in self.edge else [CLOSED]
            self.discovery[name] = exits.enter_context(FakeDiscovery(**peers))
            edge = Edge(self.text, self.discovery[name].address, machine=self.identity(name))
            (edge.home / "cluster").mkdir()
            (edge.home / "nginx" / "near.json").write_text(json.dumps({"machine": name}))
            self.edge[name] = exits.enter_context(edge)
        for name in NAMES:
            self.serves(name, "/")
        self.serves("m1", "/away")

    @property
    def front(self) -> Edge:
        return self.edge["m1"]

    def serves(self, name: str, path: str) -> None:
        eventually(lambda: self.edge[name].get("app.test", path).status == 200)

    def serves_itself(self, name: str, path: str) -> None:
        """Nothing of it crosses, and no other machine passes over it."""

        def is_own() -> bool:
            answer = self.edge[name].get("app.test", path)
            return answer.status == 200 and self.name_of(answer) == name

        eventually(is_own)

    def identity(self, name: str) -> OwnMachine:
        pair = self.authority.sign(name, machine_host(name), time())
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        for file, data in zip(files, (pair.certificate, pair.key), strict=True):
            file.write_bytes(data)
        authority = str(self.folder / "authority.pem")
        return OwnMachine(self.authority.cluster, name, *map(str, files), authority)

    def name_of(self, answer) -> str:
        [name] = [n for n, each in self.programs.items() if each.port == answer.json["port"]]
        return name

    @contextmanager
    def own_dead(self) -> Iterator[None]:
        """The only instance of m1 has died."""
        before, self.discovery["m1"].peers["web"] = self.discovery["m1"].peers["web"], [CLOSED]
        try:
            eventually(lambda: self.name_of(self.front.get("app.test", "/")) != "m1")
            yield
        finally:
            self.discovery["m1"].peers["web"] = before
            self.serves_itself("m1", "/")


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with ExitStack() as exits:
        folder = Path(tempfile.mkdtemp(prefix="portico-machines-", dir="/tmp"))
        exits.callback(shutil.rmtree, folder)
        yield Machines(folder, exits)


def test_what_has_no_instance_here_is_answered_by_other_machines(machines):
    with machines.front.client("app.test") as client:
        answers = [client.ask("POST", "/away?x=1", b"body") for _ in range(8)]
    assert {each.status for each in answers} == {200}
    assert {machines.name_of(each) for each in answers} == {"m2", "m3"}
    facts = answers[0].json
    assert (facts["method"], facts["path"], facts["body"]) == ("POST", "/away?x=1", 4)
    assert facts["headers"]["Host"].startswith("app.test:")
    assert facts["headers"]["X-Forwarded-For"] == "127.0.0.1"
    assert not [name for name in facts["headers"] if name.startswith("Portico-")]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_cross_when_all_own_instances_are_dead(machines, method):
    with machines.own_dead(), machines.front.client("app.test") as client:
        answers = [client.ask(method, "/", b"body") for _ in range(10)]
    assert {each.status for each in answers} == {200}
    assert {machines.name_of(each) for each in answers} == {"m2", "m3"}


def test_what_the_next_machine_could_not_send_goes_to_the_third(machines):
    """m2 is alive, its instance is not: nothing is lost, a POST either."""
    peers = machines.discovery["m2"].peers
    before, peers["away"] = peers["away"], [CLOSED]
    try:
        with machines.front.client("app.test") as client:
            answers = [client.ask("POST", "/away", b"body") for _ in range(20)]
    finally:
        peers["away"] = before
        machines.serves_itself("m2", "/away")
    assert [each.status for each in answers] == [200] * 20


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("POST", 1)])
def test_a_request_that_kills_what_it_reaches_reaches_no_more_than_at_home(
    machines, method, times
):
    path = f"/away?hang_up={method}"
    assert machines.front.ask(method, "app.test", path).status == 502
    asked = [one for each in machines.programs.values() for one in each.asked if path in one]
    assert len(asked) == times


def test_what_is_full_overflows(machines):
    with ThreadPoolExecutor(3) as threads:
        paths = [f"/full?sleep=1&n={number}" for number in range(3)]
        answers = list(threads.map(lambda path: machines.front.get("app.test", path), paths))
    assert [each.status for each in answers] == [200] * 3
    assert len({machines.name_of(each) for each in answers}) == 3


def test_only_machines_of_the_cluster_come_in(machines):
    port = machines.ports["m2"]

    def status(context: ssl.SSLContext, path: str = "/near.json", **headers: str) -> int:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", port), 60) as plain,
            context.wrap_socket(plain) as tls,
        ):
            lines = "".join(f"{name.replace('_', '-')}: {v}\r\n" for name, v in headers.items())
            tls.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
            return int(tls.recv(12).split()[1])

    def context(name: str = "") -> ssl.SSLContext:
        made = ssl.create_default_context()
        if name:
            machines.identity(name)
            made.load_cert_chain(machines.folder / f"{name}.pem", machines.folder / f"{name}.key")
        return made

    assert status(context()) == 400
    assert status(context("m9")) == 403  # signed, and not in [machines]
    assert status(context("m1")) == 200
    assert status(context("m1"), "/other") == 404
    assert status(context("m1"), "/", Portico_App="away") == 200
    assert status(context("m1"), "/", Portico_App="nothing") == 502
    assert status(context("m1"), "/", Portico_App="nothing", Portico_Way="@far_0") == 530


def test_a_client_chooses_no_way(machines):
    forged = {"Portico_App": "full", "Portico_Way": "@failed", "Portico_Kind": "grpc"}
    answer = machines.front.get("app.test", "/away", Portico_Repeated="1", **forged)
    assert (answer.status, answer.json["path"]) == (200, "/away")
    assert not [name for name in answer.json["headers"] if name.startswith("Portico-")]


def test_a_request_crosses_once(machines):
    """No machine has a live instance: it ends, and none passes on what it got."""
    peers = {name: machines.discovery[name].peers for name in ("m2", "m3")}
    before = {name: each["away"] for name, each in peers.items()}
    for each in peers.values():
        each["away"] = [CLOSED]
    try:
        for name in before:
            eventually(
                lambda name=name: machines.edge[name].get("app.test", "/away").status == 502
            )
        assert machines.front.ask("POST", "app.test", "/away", b"x").status == 502
    finally:
        for name, each in peers.items():
            each["away"] = before[name]
        for name in before:
            machines.serves_itself(name, "/away")


def test_an_upload_that_is_not_kept_crosses_while_it_arrives(machines):
    body = b"x" * (5 << 20)
    answer = machines.front.ask("POST", "app.test", "/upload", body)
    [print(n, e.error_log[-1500:]) for n, e in machines.edge.items()]
    assert (answer.status, answer.json["body"]) == (200, len(body))
    assert machines.name_of(answer) in {"m2", "m3"}


def test_a_websocket_crosses(machines):
    with machines.front.websocket("app.test", "/away") as tls:
        tls.sendall(b"frame")
        assert tls.recv(5) == b"frame"


def test_a_stream_of_events_crosses_piece_by_piece(machines):
    head = "GET /away?stream=4 HTTP/1.1\r\nHost: app.test\r\nAccept: text/event-stream\r\n\r\n"
    with machines.front.handshake("app.test", machines.front.tls()) as tls:
        tls.sendall(head.encode())
        pieces = b""
        while b"123456789" not in pieces:
            pieces += tls.recv(4096)
        assert pieces.count(b"123456789") == 1


def test_calls_of_grpc_cross(machines):
    credentials = grpc.ssl_channel_credentials(
        (machines.front.folder / "certificate.pem").read_bytes()
    )
    name = (("grpc.ssl_target_name_override", "app.test"),)
    with grpc.secure_channel(f"127.0.0.1:{machines.front.https}", credentials, name) as channel:
        assert channel.unary_unary("/echo.Echo/Say")(b"hello", timeout=60).endswith(b":hello")
        assert list(channel.unary_stream("/echo.Echo/Count")(b"3", timeout=60)) == [
            b"1",
            b"2",
            b"3",
        ]
        assert channel.stream_unary("/echo.Echo/Join")(iter([b"a", b"b"]), timeout=60) == b"ab"


def test_a_server_without_a_certificate_of_the_cluster_gets_nothing(machines):
    assert machines.front.get("app.test", "/rogue").status == 502
    assert "certificate verify error" in machines.front.error_log


def test_a_machine_that_reloads_loses_no_post(machines):
    ends, statuses = Event(), list[int]()

    def post() -> None:
        with machines.front.client("app.test") as client:
            while not ends.is_set():
                statuses.append(client.ask("POST", "/away", b"body").status)

    def more_are_answered() -> None:
        before = len(statuses)
        eventually(lambda: len(statuses) > before + 30)

    with ThreadPoolExecutor(4) as threads:
        clients = [threads.submit(post) for _ in range(4)]
        try:
            for _ in range(3):
                more_are_answered()
                machines.edge["m2"].reload(machines.text)
            more_are_answered()
        finally:
            ends.set()
        for each in clients:
            each.result()
    assert len(statuses) > 100
    assert set(statuses) == {200}


def test_the_daemon_asks_other_machines_through_its_nginx(machines):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(machines.front.home / "cluster" / "neighbours.sock"))
        connection.sendall(b"GET /m2/near.json HTTP/1.1\r\nHost: m2\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b'{"machine": "m2"}')


def test_programs_that_are_asked_or_get_copies_are_on_other_machines_too(machines):
    def far_got(path: str) -> bool:
        return any(path in one for n in ("m2", "m3") for one in machines.programs[n].asked)

    assert machines.front.get("app.test", "/asked").status == 200
    assert far_got("/question")
    assert machines.front.get("app.test", "/copied?x").status == 200
    eventually(lambda: far_got("/copied?x"))
