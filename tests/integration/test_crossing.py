"""Requests that cross from one machine's nginx to another's: three nginxes, each with its own
authority-signed certificate, on ports of loopback.
"""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from time import monotonic, time

import grpc
import httpx
import pytest

from portico.core.model.cluster import OwnMachine, machine_host
from portico.system.machine_certificates import MACHINE_LIFETIME, MachineAuthority
from tests.addresses import free_port
from tests.edge import Edge
from tests.fakes.backend import Backend
from tests.fakes.discovery import FakeDiscovery
from tests.programs.grpc_echo import started
from tests.waiting import eventually

M3 = "m3-with-a-name-of-fifty-letters-is-the-longest-one"
FILE = """
[apps.web]
command = "run"
[apps.away]
command = "run"
on = ["m2", "M3"]
[apps.full]
command = "run"
max_conns = 1
[apps.calls]
command = "run"
on = ["m2"]
[apps.rogue]
command = "run"
on = ["m2"]
[apps.bound]
command = "run"
sticky = true
[apps.keyed]
command = "run"
balance = "hash $arg_key"
[apps.addressed]
command = "run"
balance = "ip_hash"
[apps.talks]
command = "run"
[apps.alone]
command = "run"
balance = "hash $arg_key"
[apps.lost]
command = "run"
sticky = true
[apps.awaited]
command = "run"
on = ["m2"]

[sites."app.test"]
app = "web"
default = true
[sites."app.test".routes]
"/away" = "away"
"/plain" = { app = "away", gzip = false }
"/plain/upload" = { app = "web", gzip = false, request_buffering = false }
"/full" = "full"
"/upload" = { app = "away", request_buffering = false, client_max_body_size = "100m" }
"/echo.Echo/" = { app = "calls", grpc = true }
"/rogue" = "rogue"
"/awaited" = { app = "awaited", wait = "100s" }
"/asked" = { app = "web", auth = { app = "away", path = "/question" } }
"/copied" = { app = "web", mirror = { app = "away" } }
"/here" = { app = "web", request_buffering = false, client_max_body_size = "100m" }
"/bound" = "bound"
"/bound/upload" = { app = "bound", request_buffering = false }

[sites."keyed.test"]
app = "keyed"
[sites."keyed.test".routes]
"/upload" = { app = "keyed", request_buffering = false }

[sites."kept.test"]
app = "keyed"
cache = { valid = "1s", use_stale = true }

[sites."addressed.test"]
app = "addressed"
real_ip = { trust = ["127.0.0.1"] }

[sites."alone.test"]
app = "alone"

[sites."lost.test"]
app = "lost"
folder = "lost"
error_pages = { 502 = "502.html" }

[sites."talks.test"]
app = "talks"
grpc = true
""".replace("M3", M3)
CLUSTER = "0f8b2c1e-5d55-4b0e-9d5c-1f1d36c1a9b7"
KEYS = 24
PLACED = ("keyed", "addressed")
"""Apps with two instances a machine, on which a key is placed."""
NAMES = (M3, "m2", "m1")
EXPIRED = 2 * MACHINE_LIFETIME.total_seconds()
"""Age of a certificate that is not valid any more."""
CLOSED = 1
"""A port of loopback on which nothing listens: TCP port service multiplexer (RFC 1078)."""


class Machines:
    """Three machines of one cluster; `m1` is the one that is entered."""

    def __init__(self, folder: Path, exits: ExitStack) -> None:
        self.authority = MachineAuthority.create(CLUSTER, time())
        self.folder = folder
        (folder / "authority.pem").write_bytes(self.authority.pem)
        self.ports = {name: free_port() for name in NAMES}
        self.text = self.text_of(*NAMES)
        self.programs = {name: exits.enter_context(Backend()) for name in NAMES}
        self.seconds = {name: exits.enter_context(Backend()) for name in NAMES}
        grpc_server, self.grpc_port = started(0)
        exits.callback(lambda: grpc_server.stop(None).wait())
        self.discovery: dict[str, FakeDiscovery] = {}
        self.edge: dict[str, Edge] = {}
        for name in NAMES:
            others = [port for other, port in self.ports.items() if other != name]
            own, port = ["web", "full"], self.programs[name].port
            own += ["away"] if name != "m1" else []
            own += ["bound"]
            far = {f"far.{app}": others for app in ("web", "away", "full", "bound")}
            peers = {app: [port] for app in own} | far
            for app in ("calls", "talks"):
                peers |= {app: [self.grpc_port], f"far.{app}": [self.ports["m2"]]}
            if name == "m1":
                peers["talks"] = [CLOSED] * 4
            peers |= {"lost": [CLOSED] * 2, "far.lost": [CLOSED] * 8}
            peers |= {"awaited": [port], "far.awaited": [self.ports["m2"]]}
            peers["alone"] = [port, self.seconds[name].port]
            for app in PLACED:
                peers[app] = [port, self.seconds[name].port]
                peers |= self.placed(app, name)
            peers["far.rogue"] = [self.edge["m2"].https] if "m2" in self.edge else [CLOSED]
            self.discovery[name] = exits.enter_context(FakeDiscovery(**peers))
            edge = Edge(self.text, self.discovery[name].address, machine=self.identity(name))
            (edge.home / "cluster").mkdir()
            edge.file("502.html", "nobody")
            edge.file("lost/file", "there")
            (edge.home / "nginx" / "near.json").write_text(json.dumps({"machine": name}))
            self.edge[name] = exits.enter_context(edge)
        for name in NAMES:
            self.serves(name, "/")
        self.serves("m1", "/away")

    def text_of(self, *names: str) -> str:
        """The file with these machines."""
        tables = (
            f'[machines.{name}]\naddress = "127.0.0.1"\nport = {self.ports[name]}\n'
            for name in names
        )
        return FILE + "\n".join(tables)

    def placed(self, app: str, name: str, ready: int = len(NAMES)) -> dict[str, list[int]]:
        """What discovery answers on that machine, of which the first so many are ready: itself
        takes streams there, and nothing else. Where it is not ready the first is named twice.
        """
        streams = [self.ports[each] for each in NAMES[:ready]]
        far = [None if port == self.ports[name] else port for port in streams]
        own = [CLOSED if each == name else None for each in NAMES]
        machines = own if name in NAMES[:ready] else far[:1]
        return {f"far.{app}": far, f"machines.{app}": machines, f"streams.{app}": streams}

    def ports_of(self, app: str, names: tuple[str, ...] = NAMES) -> set[int]:
        return {port for name in names for port in self.discovery[name].peers[app]}

    def places(self, name: str, app: str) -> list[int]:
        """The ports that keys reach, or clients of as many networks, which enter there."""
        with self.edge[name].client(f"{app}.test") as client:
            answers = [
                client.ask("GET", f"/?key={n}", X_Forwarded_For=f"192.0.{n}.7")
                for n in range(KEYS)
            ]
        assert {each.status for each in answers} == {200}
        return [each.json["port"] for each in answers]

    def settled(self, app: str, instances: set[int]) -> list[int]:
        """The same of all machines, when these are the instances that are reached from each."""

        def found() -> list[int] | None:
            with ThreadPoolExecutor(len(NAMES)) as threads:
                first, *others = threads.map(lambda name: self.places(name, app), NAMES)
            return first if set(first) == instances and others == [first] * 2 else None

        return eventually(found, every=0.3)

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

    def identity(self, name: str, *, age: float = 0.0) -> OwnMachine:
        """With a certificate that is so many seconds old."""
        pair = self.authority.sign(name, machine_host(name), time() - age)
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
    assert {machines.name_of(each) for each in answers} == {"m2", M3}
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
    assert {machines.name_of(each) for each in answers} == {"m2", M3}


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


def test_what_has_crossed_waits_at_the_one_machine_that_runs_the_app(machines):
    m2, port = machines.discovery["m2"], machines.programs["m2"].port

    def nginx_has(peers: list[int]) -> None:
        m2.peers["awaited"], begin = peers, len(m2.asked)
        question = ("_http._tcp.awaited.portico.internal.", "SRV")
        eventually(lambda: m2.asked[begin:].count(question) > 2)

    machines.serves("m1", "/awaited")
    nginx_has([CLOSED])
    with ThreadPoolExecutor(2) as threads:
        held = [
            threads.submit(machines.front.ask, method, "app.test", "/awaited", b"body")
            for method in ("GET", "POST")
        ]
        eventually(lambda: m2.waiting)
        assert not any(each.done() for each in held)
        nginx_has([port])
        m2.release()
        answers = [each.result(60) for each in held]
    assert {(each.status, machines.name_of(each)) for each in answers} == {(200, "m2")}
    assert {each.json["body"] for each in answers} == {4}


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

    def context(name: str = "", age: float = 0.0) -> ssl.SSLContext:
        made = ssl.create_default_context()
        if name:
            machines.identity(name, age=age)
            made.load_cert_chain(machines.folder / f"{name}.pem", machines.folder / f"{name}.key")
        return made

    assert status(context()) == 400
    crossing = {"Portico_App": "away", "Portico_Way": "@far_0"}
    assert status(context("m9")) == 403  # signed, and not in [machines]
    assert status(context("m9"), "/", **crossing) == 530
    assert status(context("m1", EXPIRED)) == 400
    assert status(context("m1", EXPIRED), "/", **crossing) == 530
    assert status(context("m1")) == 200
    assert status(context("m1"), "/other") == 404
    assert status(context("m1"), "/", Portico_App="away") == 200
    assert status(context("m1"), "/", Portico_App="nothing") == 502
    assert status(context("m1"), "/", Portico_App="nothing", Portico_Way="@far_0") == 530


def test_what_another_machine_refuses_is_answered_here(machines):
    """As while the list of machines is not the same on all of them yet."""
    machines.edge["m2"].reload(machines.text_of(M3, "m2"))
    try:
        left = machines.ports_of("keyed", ("m1", M3))
        eventually(lambda: {*machines.places("m1", "keyed")} == left)
    finally:
        machines.edge["m2"].reload(machines.text)
    eventually(lambda: {*machines.places("m1", "keyed")} == machines.ports_of("keyed"))


def test_an_expired_page_of_a_key_of_this_machine_is_fetched_again(machines):
    """The first try chooses the machine, and here it reaches none."""
    places = machines.settled("keyed", machines.ports_of("keyed"))
    path = f"/page?key={places.index(machines.programs['m1'].port)}"

    def fetched() -> int:
        assert machines.front.get("kept.test", path).status == 200
        return machines.programs["m1"].asked.count(f"GET {path}")

    first = eventually(fetched)  # the other worker may still have the list of the test before
    eventually(lambda: fetched() > first)


@pytest.mark.parametrize("path", ["/plain", "/plain/upload"])
def test_what_a_site_does_not_compress_crosses_as_it_is(machines, path):
    length = str(len(machines.front.get("app.test", "/plain?size=4000").body))
    taken = {"Accept_Encoding": "gzip"}
    with machines.own_dead():
        plain = eventually(
            lambda: (
                (
                    found := machines.front.ask(
                        "POST", "app.test", f"{path}?size=4000", b"x", **taken
                    )
                )
                and found.status == 200
                and machines.name_of(found) != "m1"
                and found
            )
        )
    assert "Content-Encoding" not in plain.headers
    assert abs(int(plain.headers["Content-Length"]) - int(length)) < 100


def test_many_cookies_of_http2_cross(machines):
    """Each is a line there, and all are one where they cross (RFC 9113 8.2.3)."""
    cookies = [("cookie", f"c{n}={'x' * 8000}") for n in range(5)]
    trust = machines.front.tls()
    with httpx.Client(http2=True, verify=trust) as client:
        url = f"https://127.0.0.1:{machines.front.https}/away"
        answer = client.get(
            url, headers=[("host", "app.test"), *cookies], extensions={"sni_hostname": "app.test"}
        )
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
    assert len(answer.json()["headers"]["cookie"]) > 40_000


def test_a_client_chooses_no_way(machines):
    forged = {"Portico_App": "full", "Portico_Way": "@failed", "Portico_Kind": "grpc"}
    answer = machines.front.get("app.test", "/away", Portico_Repeated="1", **forged)
    assert (answer.status, answer.json["path"]) == (200, "/away")
    assert not [name for name in answer.json["headers"] if name.startswith("Portico-")]


def test_a_request_crosses_once(machines):
    """No machine has a live instance: it ends, and none passes on what it got."""
    peers = {name: machines.discovery[name].peers for name in ("m2", M3)}
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
    assert (answer.status, answer.json["body"]) == (200, len(body))
    assert machines.name_of(answer) in {"m2", M3}


def test_a_websocket_crosses_and_ends_with_a_front_that_dies(machines):
    """As long as it is silent the machine that took it looks whether the front is still there."""

    def is_probed(name: str) -> bool:
        words = ("ss", "--no-header", "-tno", "state", "established", "sport")
        listed = subprocess.run(
            (*words, f"= :{machines.ports[name]}"), check=True, capture_output=True, text=True
        )
        return "timer:(keepalive" in listed.stdout

    with machines.front.websocket("app.test", "/away") as tls:
        tls.sendall(b"frame")
        assert tls.recv(5) == b"frame"
        eventually(lambda: any(map(is_probed, ("m2", M3))))


def test_a_stream_of_events_crosses_piece_by_piece(machines):
    head = "GET /away?stream=4 HTTP/1.1\r\nHost: app.test\r\nAccept: text/event-stream\r\n\r\n"
    with machines.front.handshake("app.test", machines.front.tls()) as tls:
        tls.sendall(head.encode())
        pieces = b""
        while b"123456789" not in pieces:
            pieces += tls.recv(4096)
        assert pieces.count(b"123456789") == 1


def channel_to(edge: Edge, site: str) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials((edge.folder / "certificate.pem").read_bytes())
    name = (("grpc.ssl_target_name_override", site),)
    return grpc.secure_channel(f"127.0.0.1:{edge.https}", credentials, name)


def test_calls_of_grpc_cross(machines):
    with channel_to(machines.front, "app.test") as channel:
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
            while not ends.wait(0.01):
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


@pytest.mark.parametrize("app", PLACED)
def test_a_key_reaches_one_instance_wherever_it_enters(machines, app):
    machines.settled(app, machines.ports_of(app))


def test_of_a_machine_that_is_away_only_its_keys_move(machines):
    everywhere, left = machines.ports_of("keyed"), machines.ports_of("keyed", NAMES[:2])
    before = machines.settled("keyed", everywhere)
    for name in NAMES:
        machines.discovery[name].peers |= machines.placed("keyed", name, ready=2)
    try:
        after = machines.settled("keyed", left)  # the third passes on what enters it
    finally:
        for name in NAMES:
            machines.discovery[name].peers |= machines.placed("keyed", name)
    assert {b for a, b in zip(after, before, strict=True) if a != b} == everywhere - left
    assert machines.settled("keyed", everywhere) == before


def test_a_key_whose_machine_has_no_instance_now_is_answered_here(machines):
    """Until m2 leaves the list: what it could not send comes back."""
    before = machines.settled("keyed", machines.ports_of("keyed"))
    peers = machines.discovery["m2"].peers
    own, peers["keyed"] = peers["keyed"], [CLOSED, CLOSED]
    try:
        eventually(
            lambda: not {*own}.intersection(found := machines.places("m1", "keyed")) and found
        )
        after = machines.places("m1", "keyed")
    finally:
        peers["keyed"] = own
    assert {b for a, b in zip(after, before, strict=True) if a != b} == {*own}


def test_where_no_machine_is_known_yet_a_key_still_has_its_instance(machines):
    own = machines.ports_of("alone", ("m1",))
    eventually(lambda: machines.front.get("alone.test", "/").status == 200)
    before = eventually(lambda: set(found := machines.places("m1", "alone")) == own and found)
    assert machines.front.get("alone.test", "/").status == 200  # another turn, if it went by turns
    assert machines.places("m1", "alone") == before


def test_a_machine_that_is_dead_and_still_in_the_list_is_left_out(machines):
    """Not asked again for every request of its keys: each would wait until it cannot connect."""
    met = list[float]()
    known = machines.discovery["m1"].peers
    before, place = known["far.keyed"], NAMES.index("m2")
    with socket.create_server(("127.0.0.1", 0)) as dead, ThreadPoolExecutor(1) as threads:

        def hang_up() -> None:
            while True:
                dead.accept()[0].close()
                met.append(monotonic())

        hanging_up = threads.submit(hang_up)
        known["far.keyed"] = [*before[:place], dead.getsockname()[1], *before[place + 1 :]]
        try:
            eventually(lambda: machines.places("m1", "keyed") and met)
            begin, count = monotonic(), len(met)
            for _ in range(3):
                machines.places("m1", "keyed")
            seconds = monotonic() - begin
        finally:
            known["far.keyed"] = before
            dead.shutdown(socket.SHUT_RDWR)
        assert isinstance(hanging_up.exception(60), OSError)
    assert len(met) - count <= 1 + seconds / 2
    machines.settled("keyed", machines.ports_of("keyed"))


def test_an_upload_and_a_websocket_reach_the_instance_of_their_key(machines):
    everywhere = [*machines.programs.values(), *machines.seconds.values()]
    places = machines.settled("keyed", machines.ports_of("keyed"))
    body = b"x" * (1 << 20)
    for key in range(5):
        answer = machines.front.ask("POST", "keyed.test", f"/upload?key={key}", body)
        assert (answer.status, answer.json["port"]) == (200, places[key])
        put = machines.front.ask("PUT", "keyed.test", f"/upload?key={key}", body)
        assert (put.status, put.json["port"], put.json["body"]) == (200, places[key], len(body))
        with machines.front.websocket("keyed.test", f"/live?key={key}") as tls:
            tls.sendall(b"frame")
            assert tls.recv(5) == b"frame"
        [took] = [e.port for e in everywhere if f"GET /live?key={key}" in e.asked]
        assert took == places[key]


def cookie_of(answer) -> str:
    """That of the last try, which a client keeps (RFC 6265 5.3)."""
    return answer.headers.get_all("Set-Cookie")[-1].partition(";")[0]


def test_a_cookie_leads_to_its_machine_from_every_other(machines):
    first = machines.edge["m2"].get("app.test", "/bound")
    cookie = cookie_of(first)
    assert cookie.startswith("portico=m2=")
    with machines.front.client("app.test") as client:
        answers = [
            client.ask("POST", "/bound", b"body", Cookie=f"a=b; {cookie}") for _ in range(6)
        ]
        upload = client.ask("POST", "/bound/upload", b"body", Cookie=cookie)
        put = client.ask("PUT", "/bound/upload", b"body", Cookie=cookie)
    for each in (*answers, upload, put):
        assert (each.status, machines.name_of(each), cookie_of(each)) == (200, "m2", cookie)


@pytest.mark.parametrize("path", ["/bound", "/bound/upload"])
@pytest.mark.parametrize(
    "cookie", ["portico=m9=00", "portico=m2", "portico=m1=00", "portico=m2=00"]
)
def test_a_cookie_of_no_machine_or_instance_gets_a_new_one(machines, cookie, path):
    answer = machines.front.ask("POST", "app.test", path, b"body", Cookie=cookie)
    name = "m2" if cookie == "portico=m2=00" else "m1"
    assert (answer.status, machines.name_of(answer)) == (200, name)
    assert cookie_of(answer).startswith(f"portico={name}=")


def test_where_the_machine_of_a_cookie_is_away_the_answer_is_of_this_one(machines):
    cookie = cookie_of(machines.edge["m2"].get("app.test", "/bound"))
    peers = machines.discovery["m2"].peers
    before, peers["bound"] = peers["bound"], [CLOSED]  # not left out yet: it comes back
    try:
        eventually(lambda: machines.edge["m2"].get("app.test", "/bound").json["port"] != before[0])
        dead = [
            machines.front.ask("POST", "app.test", "/bound", b"x", Cookie=cookie) for _ in range(5)
        ]
    finally:
        peers["bound"] = before
        machines.serves_itself("m2", "/bound")
    assert {(each.status, machines.name_of(each)) for each in dead} == {(200, "m1")}
    assert {cookie_of(each).partition("=m1")[0] for each in dead} == {"portico"}
    known = machines.discovery["m1"].peers
    others, known["far.bound"] = known["far.bound"], [machines.ports[M3]]

    def answers_here(path: str) -> bool:
        answer = machines.front.ask("POST", "app.test", path, b"x", Cookie=cookie)
        return answer.status == 200 and machines.name_of(answer) == "m1"

    try:
        for path in ("/bound", "/bound/upload"):
            eventually(lambda path=path: answers_here(path))
    finally:
        known["far.bound"] = others


@pytest.mark.parametrize("cookie", ["", "portico=m2=00"])
def test_a_request_that_nobody_takes_ends_with_the_page_for_that(machines, cookie):
    """Not with 500, as where nginx would have to follow more than ten redirects inside."""
    answer = machines.front.get("lost.test", "/no-file", Cookie=cookie)
    assert (answer.status, answer.body) == (502, b"nobody")


def test_an_upload_that_no_own_instance_takes_crosses(machines):
    body = b"x" * (5 << 20)
    assert machines.name_of(machines.front.ask("POST", "app.test", "/here", body)) == "m1"

    def crosses() -> bool:
        return machines.name_of(machines.front.ask("POST", "app.test", "/here", b"x")) != "m1"

    with machines.own_dead(), machines.front.client("app.test") as client:
        eventually(crosses)  # nginx asks for each upstream at a moment of its own
        answers = [client.ask("POST", "/here", body) for _ in range(4)]
    assert {(each.status, each.json["body"]) for each in answers} == {(200, len(body))}
    assert {machines.name_of(each) for each in answers} <= {"m2", M3}


def test_a_call_of_grpc_that_no_own_instance_takes_crosses(machines):
    """Those of m1 have been dead from the start, and are more than nginx tries of one upload."""
    with channel_to(machines.front, "talks.test") as channel:
        assert channel.unary_unary("/echo.Echo/Say")(b"hello", timeout=60).endswith(b":hello")
        assert channel.stream_unary("/echo.Echo/Join")(iter([b"a", b"b"]), timeout=60) == b"ab"


def test_programs_that_are_asked_or_get_copies_are_on_other_machines_too(machines):
    def far_got(path: str) -> bool:
        return any(path in one for n in ("m2", M3) for one in machines.programs[n].asked)

    assert machines.front.get("app.test", "/asked").status == 200
    assert far_got("/question")
    assert machines.front.get("app.test", "/copied?x").status == 200
    eventually(lambda: far_got("/copied?x"))
