"""How requests are passed to an app, proved by requests through the real nginx."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from portico.core.render.claims import CLAIMS, FORWARDED_HEADERS
from tests.addresses import free_port
from tests.edge import Edge
from tests.fakes.backend import Backend
from tests.fakes.discovery import FakeDiscovery
from tests.waiting import eventually

FILE = """
[edge]
health_path = "/lb/health"

[apps.web]
command = "run"

[apps.my_api]
command = "run"

[sites."app.test"]
app = "web"

[sites."app.test".routes]
"/api" = {app = "my_api", strip_prefix = true}
"= /one" = "my_api"
"~ \\\\.php$" = "my_api"
"/stream" = {buffering = false}
"/quiet" = {websocket = false}
"/patient" = {proxy_read_timeout = "500ms"}
"/strict" = {websocket_timeout = "500ms"}
"/upload" = {client_max_body_size = 0}
"/unbuffered" = {client_max_body_size = 0, request_buffering = false}
"/admin" = "my_api"
"^~ /first" = "my_api"
"/moved" = {redirect = "/elsewhere"}

[sites."open.test"]
app = "web"
https = false

[sites."mixed.test"]
app = "web"
folder = {path = "mixed", expires = "1h", clean_urls = true}
headers = {X-Own = "1"}

[sites."mixed.test".routes]
"/sub" = {app = "my_api", folder = "mixed/sub", strip_prefix = true}
"/closed" = {app = "web", folder = "mixed", deny = ["all"]}

[sites."behind.test"]
app = "web"
hsts = true
real_ip = {trust = ["127.0.0.0/8", "10.0.0.0/8"]}

[sites."behind.test".routes]
"/b" = {app = "web", strip_prefix = true}

[sites."stranger.test"]
app = "web"
hsts = true
real_ip = {trust = ["10.0.0.0/8"]}
"""


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[str, Backend]]:
    with ExitStack() as exits:
        yield {name: exits.enter_context(Backend()) for name in ("web", "my_api")}


@pytest.fixture(scope="module")
def edge(programs) -> Iterator[Edge]:
    peers = {name: [backend.port] for name, backend in programs.items()}
    with FakeDiscovery(**peers) as discovery, Edge(FILE, discovery.address) as edge:
        for path in ("/", "/one"):
            eventually(lambda path=path: edge.get("app.test", path).status == 200)
        yield edge


def test_an_app_learns_who_asks_for_what(edge):
    host = f"app.test:{edge.https}"
    claims = {"X_Forwarded_For": "1.2.3.4", "X_Forwarded_Proto": "ftp", "X_Real_IP": "1.2.3.4"}
    answer = edge.get("app.test", "/a%2Fb?c=%20", Host=host, X_Forwarded_Host="a", **claims)
    assert answer.json["path"] == "/a%2Fb?c=%20"
    seen = answer.json["headers"]
    assert {name: seen[name] for name in seen if name.startswith(("X-", "Host", "Conn"))} == {
        "Host": host,
        "X-Real-IP": "127.0.0.1",
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Host": host,
        "X-Forwarded-Port": str(edge.https),
        "X-Forwarded-Proto": "https",
        "X-Request-ID": seen["X-Request-ID"],
    }
    assert len(seen["X-Request-ID"]) == 32


def test_the_host_that_an_app_sees_is_the_one_that_chose_the_site():
    """RFC 9112 3.2.2: what stands in the request line counts, not the header."""
    site = '[apps.web]\ncommand = "run"\n[sites."app.test"]\napp = "web"\nhttps = false\n'
    with (
        Backend() as web,
        FakeDiscovery(web=[web.port]) as discovery,
        Edge(site, discovery.address) as edge,
    ):
        eventually(lambda: edge.plain("app.test").status == 200)
        answer = edge.raw(
            b"GET http://app.test/ HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n"
        )
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]["Host"] == "app.test"


def test_the_address_of_a_client_behind_a_trusted_proxy_is_believed(edge):
    seen = edge.get("behind.test", X_Forwarded_For="6.6.6.6, 192.0.2.7, 10.1.1.1").json["headers"]
    assert seen["X-Real-IP"] == "192.0.2.7"
    assert seen["X-Forwarded-For"] == "192.0.2.7"


def test_what_a_client_claims_to_be_told_by_a_proxy_does_not_reach_the_app(edge):
    claims = {name.replace("-", "_"): "/evil" for name in (*CLAIMS, *FORWARDED_HEADERS)}
    for site, path, of_ours in (
        ("app.test", "/", {}),
        ("app.test", "/api/", {"X-Forwarded-Prefix": "/api"}),
        ("stranger.test", "/", {}),
    ):
        seen = edge.get(site, path, **claims).json["headers"]
        assert {name: seen[name] for name in CLAIMS if name in seen} == of_ours
        assert "/evil" not in seen.values()


def test_what_a_trusted_proxy_says_reaches_the_app(edge):
    claims = {name.replace("-", "_"): "told" for name in (*CLAIMS, *FORWARDED_HEADERS)}
    seen = edge.get("behind.test", **claims).json["headers"]
    assert {seen[name] for name in (*CLAIMS, *FORWARDED_HEADERS)} == {"told"}
    assert (
        edge.get("behind.test", "/b/", X_Forwarded_Prefix="/a").json["headers"][
            "X-Forwarded-Prefix"
        ]
        == "/a/b"
    )
    assert edge.get("behind.test").json["headers"]["X-Forwarded-Proto"] == "https"


@pytest.mark.parametrize(
    ("said", "host", "port", "proto"),
    [
        ({"X_Forwarded_Proto": "https"}, "behind.test", "443", "https"),
        ({"X_Forwarded_Proto": "https, http"}, "behind.test", "443", "https, http"),
        (
            {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "shop.test:8443"},
            *("shop.test:8443", "8443", "https"),
        ),
        (
            {"X_Forwarded_Proto": "https", "X_Forwarded_Port": "9443"},
            *("behind.test", "9443", "https"),
        ),
        ({"Forwarded": "for=192.0.2.1;proto=https"}, "behind.test", "443", "https"),
        (
            {"Forwarded": 'for="[2001:db8::1]:4711"; Proto="HTTPS"; Host="shop.test:8443"'},
            *("shop.test:8443", "8443", "HTTPS"),
        ),
        (
            {"Forwarded": "proto=https;host=shop.test, for=10.0.0.1;proto=http;host=b.test"},
            *("b.test", "80", "http"),
        ),
        (
            {"Forwarded": "proto=http", "X_Forwarded_Proto": "https"},
            *("behind.test", "443", "https"),
        ),
    ],
)
def test_scheme_host_and_port_are_those_that_a_trusted_proxy_was_asked_for(
    edge, said, host, port, proto
):
    answer = edge.plain("behind.test", Host="behind.test", **said)
    if proto == "http":
        assert (answer.status, answer.headers["Location"]) == (308, f"https://{host}/")
        return
    seen = answer.json["headers"]
    assert seen["X-Forwarded-Host"] == host
    assert seen["X-Forwarded-Port"] == port
    assert seen["X-Forwarded-Proto"] == proto
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("site", "said", "to"),
    [
        ("behind.test", {}, "https://behind.test/a?b=c"),
        ("behind.test", {"X_Forwarded_Proto": "http"}, "https://behind.test/a?b=c"),
        (
            "behind.test",
            {"X_Forwarded_Proto": "http", "X_Forwarded_Host": "shop.test:80"},
            "https://shop.test/a?b=c",
        ),
        ("stranger.test", {"X_Forwarded_Proto": "https"}, "https://stranger.test:{https}/a?b=c"),
        ("stranger.test", {"Forwarded": "proto=https"}, "https://stranger.test:{https}/a?b=c"),
        (
            "stranger.test",
            {"X_Forwarded_Host": "evil.test"},
            "https://stranger.test:{https}/a?b=c",
        ),
    ],
)
def test_who_came_to_a_trusted_proxy_without_tls_is_redirected(edge, site, said, to):
    answer = edge.plain(site, "/a?b=c", Host=site, **said)
    assert (answer.status, answer.headers["Location"]) == (308, to.format(https=edge.https))
    assert answer.headers["Strict-Transport-Security"] is None


@pytest.mark.parametrize("host", ["127.0.0.1", "10.9.8.7", "unknown.test", None])
def test_a_load_balancer_asks_for_no_site(edge, host):
    """One of HTTP/1.0 does not even send a name."""
    tail = f" HTTP/1.1\r\nHost: {host}\r\nConnection: close" if host else " HTTP/1.0"
    for path, status in (("/lb/health", b"200"), ("/other", b"421")):
        answer = edge.raw(f"GET {path}{tail}\r\n\r\n".encode())
        assert answer.split()[1] == status


def test_the_path_for_load_balancers_takes_nothing_from_a_site(edge):
    assert edge.get("app.test", "/lb/health").json["path"] == "/lb/health"
    assert edge.plain("app.test", "/lb/health").status == 308


def test_the_port_that_clients_use_may_be_another(programs):
    edge_keys = "[edge]\npublic_http = 80\npublic_https = 443\n"
    site = f'{edge_keys}[apps.web]\ncommand = "run"\n[sites."app.test"]\napp = "web"\n'
    with (
        FakeDiscovery(web=[programs["web"].port]) as discovery,
        Edge(site, discovery.address) as edge,
    ):
        eventually(lambda: edge.get("app.test").status == 200)
        for host in ("app.test", "app.test:8443"):
            assert (
                edge.plain("app.test", "/a", Host=host).headers["Location"] == "https://app.test/a"
            )
            seen = edge.get("app.test", Host=host).json["headers"]
            assert (seen["Host"], seen["X-Forwarded-Host"]) == (host, host)
            assert seen["X-Forwarded-Port"] == "443"


def test_the_proxy_protocol_tells_the_address_of_a_client():
    with Backend() as web, FakeDiscovery(web=[web.port]) as discovery:
        site = (
            '[apps.web]\ncommand = "run"\n[sites."app.test"]\napp = "web"\nhttps = false\n'
            'real_ip = {trust = ["all"], proxy_protocol = true}\n'
        )
        with Edge(site, discovery.address) as edge:
            request = (
                b"PROXY TCP4 192.0.2.7 127.0.0.1 1000 80\r\n"
                b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n"
            )
            answer = eventually(lambda: (a := edge.raw(request)).startswith(b"HTTP/1.1 200") and a)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]["X-Real-IP"] == "192.0.2.7"


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        ("/api", "/"),
        ("/api/", "/"),
        ("/api/users?id=1", "/users?id=1"),
        ("/api/a%20b", "/a%20b"),
        ("/api/a%0d%0aX:%20y", "/a%0d%0aX:%20y"),
        ("/api/%3Fz", "/%3Fz"),
        ("/api/repos/a%2Fb", "/repos/a%2Fb"),
        ("/api//x", "//x"),
        ("/api/a;b=~'(c)!$&*+,=:@[]|^`{}", "/a;b=~'(c)!$&*+,=:@[]|^`{}"),
        ("/api/%41%7e%c3%bc?%2f=%2F&a+b", "/%41%7e%c3%bc?%2f=%2F&a+b"),
        ("/api?q=/api/x", "/?q=/api/x"),
        ("/%61pi/a%20b?c=%20", "/a%20b?c=%20"),
        ("/x/../api/a", "/a"),
    ],
)
def test_the_prefix_of_a_route_is_taken_off(edge, programs, asked, passed):
    facts = edge.get("app.test", asked).json
    assert facts["port"] == programs["my_api"].port
    assert facts["path"] == passed
    assert facts["headers"]["X-Forwarded-Prefix"] == "/api"


def test_each_path_goes_where_its_route_says(edge, programs):
    for path, name in {
        "/": "web",
        "/apis": "web",
        "/one": "my_api",
        "/one/more": "web",
        "/a.php": "my_api",
        "/a.php5": "web",
        "/admin": "my_api",
        "/admin/": "my_api",
        "/admin?a=1": "my_api",
        "/admin/a.php5": "my_api",
        "/adminx": "web",
        "/admin.html": "web",
        "/first": "my_api",
        "/firstx": "web",
        "/movedx": "web",
    }.items():
        assert edge.get("app.test", path).json["port"] == programs[name].port, path
    assert {edge.get("app.test", path).status for path in ("/moved", "/moved/x")} == {308}


@pytest.fixture(scope="module")
def mixed(edge):
    for name in ("a b.txt", "index.html", "about.html", "a.js", "a.js.br", ".env", ".env.br"):
        edge.file(f"mixed/{name}", f"file {name}")
    edge.file("mixed/sub/index.html", "file sub/index.html")
    edge.file("mixed/sub/a%2Fb", "file a%2Fb")
    return edge


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/", "index.html"),
        ("/a%20b.txt?q=1", "a b.txt"),
        ("/about", "about.html"),
        ("/a.js", "a.js"),
        ("/sub/", "sub/index.html"),
        ("/sub/a%252Fb", "a%2Fb"),
    ],
)
def test_a_file_that_exists_goes_before_the_app(mixed, path, file):
    answer = mixed.get("mixed.test", path)
    assert (answer.status, answer.body.decode()) == (200, f"file {file}")
    assert answer.headers["X-Own"] == "1"
    assert mixed.ask("HEAD", "mixed.test", path).headers["ETag"] == answer.headers["ETag"]
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert mixed.ask(method, "mixed.test", path).json["method"] == method


@pytest.mark.parametrize(
    ("path", "name", "seen"),
    [
        ("/none?q=%20", "web", "/none?q=%20"),
        ("/.env", "web", "/.env"),
        ("//none/a%2Fb;c", "web", "//none/a%2Fb;c"),
        ("/index.html/x", "web", "/index.html/x"),
        ("/sub", "my_api", "/"),
        ("/sub/x%2Fy?z", "my_api", "/x%2Fy?z"),
        ("/sub//x", "my_api", "//x"),
        ("/subx", "web", "/subx"),
    ],
)
def test_what_no_file_answers_reaches_the_app_as_it_was_sent(mixed, programs, path, name, seen):
    answer = mixed.get("mixed.test", path, Accept_Encoding="br")
    assert (answer.status, answer.json["path"]) == (200, seen)
    assert answer.json["port"] == programs[name].port
    assert answer.json["headers"]["X-Forwarded-Proto"] == "https"
    assert answer.headers["X-Own"] == "1"
    assert (answer.headers["Cache-Control"], answer.headers["Vary"]) == (None, None)


def test_files_before_an_app_have_the_rules_of_both(mixed):
    packed = mixed.get("mixed.test", "/a.js", Accept_Encoding="br")
    assert (packed.headers["Content-Encoding"], packed.body) == ("br", b"file a.js.br")
    assert packed.headers["Cache-Control"] == "max-age=3600"
    assert mixed.get("mixed.test", "/").headers["Cache-Control"] == "no-cache"
    assert {mixed.get("mixed.test", f"/closed/{n}").status for n in ("a.js", "none")} == {403}
    with mixed.websocket("mixed.test", "/socket") as socket_:
        socket_.sendall(b"\x81\x02hi")
        assert socket_.recv(100) == b"\x81\x02hi"
    with mixed.handshake("mixed.test", mixed.tls()) as tls:
        tls.sendall(
            b"GET /x?stream=100 HTTP/1.1\r\nHost: mixed.test\r\nAccept: text/event-stream\r\n\r\n"
        )
        seen = b""
        while b"123456789\n" not in seen and (more := tls.recv(4096)):
            seen += more
    assert 0 < seen.count(b"123456789\n") < 50


def test_a_websocket_is_passed_through_unless_a_route_says_no(edge):
    with edge.websocket("app.test", "/socket") as socket_:
        socket_.sendall(b"\x81\x02hi")
        assert socket_.recv(100) == b"\x81\x02hi"
    with edge.websocket("app.test", "/quiet", answer=200):
        pass


def test_a_websocket_may_be_silent_for_longer_than_an_answer(edge):
    """`proxy_read_timeout` is for answers: an hour is the default of what stays open."""
    assert edge.get("app.test", "/patient?sleep=3").status == 504
    with edge.websocket("app.test", "/patient") as patient:
        with edge.websocket("app.test", "/strict") as strict, suppress(ConnectionResetError):
            assert strict.recv(100) == b""  # nginx has ended it
        patient.sendall(b"\x81\x02hi")
        assert patient.recv(100) == b"\x81\x02hi"


def test_no_header_with_an_underscore_is_taken_for_one_of_ours(edge):
    """CGI and WSGI have one name, HTTP_X_REAL_IP, for both."""
    seen = edge.raw(
        b"GET / HTTP/1.1\r\nHost: open.test\r\nConnection: close\r\nX_Real_IP: 1.2.3.4\r\n"
        b"X-Forwarded_For: 1.2.3.4\r\nRemote_User: ann\r\n\r\n"
    )
    assert b'"X-Real-IP": "127.0.0.1"' in seen
    assert b"1.2.3.4" not in seen
    assert b"ann" not in seen


@pytest.mark.parametrize("site", ["app.test", "behind.test"])
def test_no_header_of_ours_is_removed_by_a_client_that_names_it_in_connection(edge, site):
    """RFC 9110 7.6.1 has a proxy remove what Connection names; nginx does not, and the program
    is not told the names either.
    """
    new_each_time = {"X-Request-ID", "Traceparent"}
    usual = edge.get(site, X_Forwarded_Proto="https").json["headers"]
    assert {"Host", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Proto"} <= usual.keys()
    names = ", ".join(("close", *usual))
    seen = edge.get(site, X_Forwarded_Proto="https", Connection=names).json["headers"]
    assert seen.keys() == usual.keys()
    assert {n: seen[n] for n in seen.keys() - new_each_time} == {
        n: usual[n] for n in usual.keys() - new_each_time
    }


def test_an_upgrade_to_http_2_is_not_passed_on(edge):
    seen = edge.get("app.test", Upgrade="h2c", Connection="Upgrade, HTTP2-Settings").json
    assert "Upgrade" not in seen["headers"]
    assert "Connection" not in seen["headers"]


def test_an_unbuffered_answer_arrives_line_by_line(edge):
    with edge.handshake("app.test", edge.tls()) as tls:
        tls.sendall(b"GET /stream?stream=4 HTTP/1.1\r\nHost: app.test\r\n\r\n")
        arrived = []
        with tls.makefile("rb") as lines:
            for line in lines:
                if b"123456789" in line:
                    arrived.append(time.monotonic())
                if len(arrived) == 4:
                    break
    assert arrived[3] - arrived[0] > 0.4


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("path", ["/upload", "/unbuffered"])
def test_an_answer_to_an_upload_that_the_program_does_not_read_arrives(
    edge, programs, tmp_path, version, path
):
    upload = tmp_path / "upload"
    upload.write_bytes(bytes(8_000_000))  # more than all buffers between
    resolve = f"app.test:{edge.https}:127.0.0.1"
    command = ["curl", "-sk", f"--http{version}", "-T", upload, "--resolve", resolve]
    for method, status in (("PUT", 413), ("POST", 401)):
        before = len(programs["web"].asked)
        url = f"https://app.test:{edge.https}{path}?unread={status}"
        answer = subprocess.run(
            [*command, "-X", method, "-w", "|%{http_code}|%{http_version}", url],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert answer.stdout == f"unread|{status}|{version}"
        assert len(programs["web"].asked) == before + 1


def test_connections_to_an_app_are_kept(edge, programs):
    ports = set()
    with edge.client("app.test") as client:
        for _ in range(20):
            ports.add(client.ask("GET", "/").json["client"])
    assert len(ports) == 1


GONE = """
[apps.web]
command = "run"

[sites."app.test"]
app = "web"
"""


@contextmanager
def dying(text: str = GONE) -> Iterator[tuple[Edge, Backend]]:
    """An app whose instance dies with a request, after another has taken its place."""
    with ExitStack() as exits:
        old, new = exits.enter_context(Backend(hangs_up=2)), exits.enter_context(Backend())
        discovery = exits.enter_context(FakeDiscovery(web=[old.port]))
        edge = exits.enter_context(Edge(text, discovery.address))
        eventually(lambda: ("1.web.portico.internal.", "A") in discovery.asked)

        def replace() -> None:
            eventually(lambda: old.asked)
            discovery.peers["web"] = [new.port]

        replacing = threading.Thread(target=replace)
        replacing.start()
        yield edge, new
        replacing.join()
        assert len(old.asked) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_request_that_may_be_repeated_gets_a_second_chance(method):
    with dying() as (edge, new):
        answer = edge.ask(method, "app.test", "/a%2Fb?c")
        assert answer.status == 200
        assert new.asked == [f"{method} /a%2Fb?c"]


@pytest.mark.parametrize(("method", "body"), [("POST", b"x"), ("POST", None), ("GET", b"x")])
def test_a_request_that_was_sent_and_may_not_be_repeated_is_not(method, body):
    with dying() as (edge, new):
        assert edge.ask(method, "app.test", "/", body).status == 502
        assert new.asked == []


def test_the_second_chance_keeps_to_the_route():
    """A named location has nothing of the location before it but what is repeated there."""
    text = f"""
    {GONE}
    headers = {{X-A = "1"}}
    allow = ["10.0.0.1"]
    [sites."app.test".routes."/api"]
    strip_prefix = true
    headers = {{X-B = "2"}}
    allow = ["127.0.0.1"]
    request_headers = {{X-C = "3"}}
    """
    with dying(text) as (edge, new):
        answer = edge.get("app.test", "/api/users?id=1")
        assert new.asked == ["GET /users?id=1"]
        assert (answer.headers["X-A"], answer.headers["X-B"]) == ("1", "2")
        assert answer.json["headers"]["X-C"] == "3"
        assert answer.json["headers"]["X-Forwarded-Prefix"] == "/api"


def test_the_second_chance_is_there_behind_files():
    with dying(f'{GONE}folder = "files"\n') as (edge, new):
        assert edge.get("app.test", "/a%2Fb").status == 200
        assert new.asked == ["GET /a%2Fb"]


def test_the_second_chance_works_for_a_websocket():
    with dying() as (edge, _), edge.handshake("app.test", edge.tls()) as tls:
        tls.sendall(
            b"GET / HTTP/1.1\r\nHost: app.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert tls.recv(1000).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_app_that_is_gone_for_good_gets_the_operators_page(method):
    text = GONE + 'error_pages = {502 = "502.html"}\n'
    with FakeDiscovery(web=[free_port()]) as discovery:
        edge = Edge(text, discovery.address)
        edge.file("502.html", "<h1>We are sorry</h1>")
        with edge:
            answer = edge.ask(method, "app.test", "/any")
    assert answer.status == 502
    assert answer.body == b"<h1>We are sorry</h1>"
    assert answer.headers["Content-Type"] == "text/html"


def test_a_page_of_an_apps_own_is_left_alone(edge):
    for status in (404, 502, 503):
        answer = edge.get("app.test", f"/?status={status}")
        assert answer.status == status
        assert answer.json["method"] == "GET"


def test_a_server_whose_name_does_not_resolve_keeps_nobody_from_starting():
    text = """
    [upstreams.old]
    servers = ["nosuch.invalid:80"]
    [upstreams.fine]
    servers = ["localhost:{port}"]
    [sites."app.test"]
    upstream = "old"
    routes = {"/fine" = "fine"}
    """
    with Backend() as backend:
        text = text.replace("{port}", str(backend.port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            nameserver = f"127.0.0.1:{silent.getsockname()[1]}"
            with Edge(text, nameservers=(nameserver,)) as edge:
                assert edge.get("app.test").status == 502
                assert edge.get("app.test", "/fine").status == 200
