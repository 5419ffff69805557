"""Forward authentication, proved by requests to the real nginx: another program decides."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from urllib.parse import quote

import grpc
import pytest

from tests.edge import Edge
from tests.fakes.backend import Backend
from tests.fakes.discovery import FakeDiscovery
from tests.programs.auth_server import EXPIRES, AuthServer
from tests.programs.grpc_echo import started
from tests.waiting import eventually

SECRET = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="  # secret
ANN = {"Cookie": "session=ann"}
FILE = """
[edge]
health_path = "/lb-health"

[apps.web]
command = "run"
[apps.proxy]
command = "run"
[apps.dying]
command = "run"
[apps.nowhere]
command = "run"
[apps.calls]
command = "run"
[upstreams.authelia]
servers = ["127.0.0.1:AUTH"]

[sites."app.test"]
app = "web"
error_pages = {403 = "403.html"}
client_max_body_size = "8m"

[sites."app.test".auth]
app = "proxy"
path = "/oauth2/auth"
request_headers = ["X-Auth-Request-User", "X-Auth-Request-Email"]
sign_in = "/oauth2/start?rd=$escaped_request_uri"

[sites."app.test".routes]
"/oauth2/" = {app = "proxy", auth = false}
"/public" = {app = "web", auth = false}
"/large" = {app = "web", client_max_body_size = "20m", request_buffering = false}
"/files" = {folder = "files"}
"/old" = {redirect = "/new"}
"/echo.Echo" = {app = "calls", grpc = true}
"/api" = {app = "web", auth = {app = "proxy", path = "/oauth2/auth", headers = []}}
"/both" = {app = "web", basic_auth = {users = {bob = "SECRET"}}}
"/either" = {app = "web", satisfy = "any", basic_auth = {users = {bob = "SECRET"}}}
"/near" = {app = "web", satisfy = "any", allow = ["127.0.0.1"]}
"/second" = {app = "web", auth = {app = "dying", path = "/oauth2/auth"}}
"/down" = {app = "web", auth = {app = "nowhere", path = "/oauth2/auth"}}
"/slow" = {app = "web", auth = {app = "proxy", path = "/slow", timeout = "200ms"}}
"/hung" = {app = "web", auth = {app = "proxy", path = "/hang_up"}}
STATUSES

[sites."app.test".routes."/renamed"]
app = "web"
strip_prefix = true
[sites."app.test".routes."/renamed".auth]
app = "proxy"
path = "/oauth2/auth"
request_headers = {X-User = "X-Auth-Request-User"}

[sites."authelia.test"]
app = "web"
[sites."authelia.test".auth]
upstream = "authelia"
path = "/api/authz/auth-request"
request_headers = ["Remote-User", "Remote-Groups"]

[sites."plain.test"]
app = "web"
redirect_http = false
auth = {app = "proxy", path = "/oauth2/auth"}
[sites."files.test"]
folder = "files"
redirect_http = false
auth = {app = "proxy", path = "/oauth2/auth"}

[sites."elsewhere.test"]
app = "web"
auth = {url = "http://127.0.0.1:AUTH/api/authz/auth-request", request_headers = ["Remote-User"]}
real_ip = {trust = ["127.0.0.1"]}
error_pages = {401 = "401.html"}

[sites."other.test"]
app = "web"
"""
STATUSES = [
    200,
    201,
    202,
    204,
    299,
    301,
    302,
    304,
    400,
    401,
    402,
    403,
    404,
    407,
    429,
    500,
    502,
    503,
]


@pytest.fixture(scope="module")
def auth() -> Iterator[AuthServer]:
    with AuthServer() as auth:
        yield auth


@pytest.fixture(scope="module")
def calls() -> Iterator[int]:
    """The port of a program of gRPC."""
    server, port = started(0)
    yield port
    server.stop(None).wait()


@pytest.fixture(scope="module")
def edge(auth, calls) -> Iterator[Edge]:
    route = '"/said/{0}" = {{app = "web", auth = {{app = "proxy", path = "/status/{0}"}}}}'
    routes = "\n".join(route.format(status) for status in STATUSES)
    text = FILE.replace("STATUSES", routes).replace("AUTH", str(auth.port))
    peers = {"proxy": [auth.port], "dying": [9, auth.port], "calls": [calls]}
    with Backend() as backend, FakeDiscovery(web=[backend.port], **peers) as discovery:
        edge = Edge(text.replace("SECRET", SECRET), discovery.address, thumbprint="thumb")
        edge.file("403.html", "<h1>Not for you</h1>")
        edge.file("401.html", "<h1>Sign in</h1>")
        edge.file("files/a.txt", "a file")
        edge.file("files/.well-known/acme-challenge/certbot", "certbot's")
        with edge:
            eventually(lambda: edge.get("other.test").status == 200)
            eventually(lambda: edge.get("app.test", **ANN).status == 200)
            eventually(lambda: edge.get("app.test", "/second", **ANN).status == 200)
            yield edge


def basic(name: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:secret'.encode()).decode()}"}


@pytest.mark.parametrize("path", ["/", "/api/x", "/large", "/files/a.txt", "/old", "/renamed/x"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_is_served_without_a_session(edge, method, path):
    assert edge.ask(method, "app.test", path).status in {302, 401}


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/api/x", 200), ("/large", 200), ("/files/a.txt", 200), ("/old", 308)],
)
def test_with_a_session_each_kind_of_route_is_served(edge, path, status):
    assert edge.get("app.test", path, **ANN).status == status


@pytest.mark.parametrize("path", ["/public", "/public/x?a=b"])
def test_a_route_below_may_be_open(edge, path):
    assert edge.get("app.test", path).status == 200
    assert edge.get("app.test", "/publicity").status == 302


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/a/b?c=d&e=f", "/a%20b?q=1%262&x=%25&y=a+b", "//two?a=b;c", "/?rd=/x&session=1"),
        *(
            f"/?q={quote('Übergrößenträger & Co.')}&{'&'.join(f'p{n}={n}' for n in range(20))}",
            "/%25",
        ),
    ],
)
def test_who_signs_in_returns_to_what_was_requested_byte_for_byte(edge, path):
    """https://github.com/oauth2-proxy/oauth2-proxy/pull/269, https://github.com/bitly/oauth2_proxy/pull/521:
    parameters after the first one were lost, because nginx does not escape $request_uri.
    """
    refused = edge.get("app.test", path)
    assert refused.status == 302
    start = refused.headers["Location"]
    assert start.startswith("/oauth2/start?rd=/")
    begun = edge.get("app.test", start)
    assert (begun.status, begun.headers["Location"]) == (302, path)
    session = begun.headers["Set-Cookie"].partition(";")[0]
    answer = edge.get("app.test", path, Cookie=session)
    assert (answer.status, answer.json["path"]) == (200, path)


def test_a_route_without_sign_in_answers_401(edge):
    assert edge.get("app.test", "/api").status == 401


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_of_the_program_lets_in_only_if_it_is_2xx(edge, status):
    to_client = 200 if 200 <= status < 300 else status if status in {401, 403} else 500
    assert edge.get("app.test", f"/said/{status}").status == to_client


@pytest.mark.parametrize("path", ["/down", "/slow", "/hung"])
def test_a_program_that_does_not_answer_lets_nobody_in(edge, path):
    assert edge.get("app.test", path, **ANN).status == 500
    assert edge.ask("POST", "app.test", path, b"x", **ANN).status == 500


def test_another_instance_is_asked_where_one_fails(edge, auth):
    for method in ("GET", "POST"):
        assert {edge.ask(method, "app.test", "/second", **ANN).status for _ in range(8)} == {200}


@pytest.mark.parametrize("path", ["/", "/api", "/public", "/large", "/oauth2/none", "/renamed/"])
@pytest.mark.parametrize("site", ["app.test", "other.test"])
@pytest.mark.parametrize("spelling", ["X-Auth-Request-User", "x-auth-request-EMAIL", "X-User"])
def test_a_client_cannot_say_who_it_is(edge, auth, site, path, spelling):
    """Not where the program has said it, nor where it has not, nor on another site of the app."""
    claims = f"{spelling}: eve\r\n{spelling.replace('-', '_')}: eve\r\n"
    head = f"GET {path} HTTP/1.0\r\nHost: {site}\r\nCookie: session=ann\r\n{claims}\r\n"
    answer = b""
    with edge.handshake(site, edge.tls()) as tls:
        tls.sendall(head.encode())
        while more := tls.recv(65536):
            answer += more
    assert answer.startswith(b"HTTP/1.1 ")
    assert b"eve" not in answer
    assert "eve" not in str(auth.asked[-1])


def test_the_app_gets_what_the_program_says_of_the_client(edge):
    headers = edge.get("app.test", **ANN).json["headers"]
    assert headers["X-Auth-Request-User"] == "ann"
    assert headers["X-Auth-Request-Email"] == "ann@a.test"
    named = edge.get("app.test", Connection="close, X-Auth-Request-User", **ANN).json["headers"]
    assert named["X-Auth-Request-User"] == "ann"
    renamed = edge.get("app.test", "/renamed/x", **ANN).json
    assert (renamed["path"], renamed["headers"]["X-User"]) == ("/x", "ann")
    assert "X-Auth-Request-User" not in renamed["headers"]
    assert "X-User" not in edge.get("app.test", **ANN).json["headers"]


def test_a_renewed_session_reaches_the_client_cookie_by_cookie(edge):
    answer = edge.get("app.test", Cookie="session=old-ann")
    assert answer.headers.get_all("Set-Cookie") == [
        f"session=ann; Expires={EXPIRES}; Path=/",
        "session_csrf=1; Path=/; Secure",
    ]
    own = edge.get("app.test", "/?answer=Set-Cookie:a=1", Cookie="session=old-ann")
    assert len(own.headers.get_all("Set-Cookie")) == 3
    assert edge.get("app.test", "/api", Cookie="session=old-ann").headers["Set-Cookie"] is None
    assert edge.get("app.test", **ANN).headers["Set-Cookie"] is None
    assert edge.get("app.test").headers["Set-Cookie"].startswith("session=;")


def test_the_program_gets_what_was_requested_and_no_body(edge, auth):
    edge.ask(
        "POST", "app.test", "/a%2Fb?c=d", b"x" * 5000, If_None_Match="*", Range="bytes=0-1", **ANN
    )
    path, headers = auth.asked[-1]
    assert path == "/oauth2/auth"
    name = f"app.test:{edge.https}"
    assert headers["X-Original-URL"] == f"https://{name}/a%2Fb?c=d"
    assert headers["X-Original-Method"] == headers["X-Forwarded-Method"] == "POST"
    assert headers["X-Forwarded-Uri"] == headers["X-Original-URI"] == "/a%2Fb?c=d"
    assert headers["X-Forwarded-Proto"] == "https"
    assert headers["X-Forwarded-Host"] == headers["Host"] == name
    assert headers["Cookie"] == "session=ann"
    left_out = {"Content-Length", "Transfer-Encoding", "If-None-Match", "Range", "Upgrade"}
    assert not left_out & headers.keys()


@pytest.mark.parametrize("path", ["/", "/large"])
def test_an_upload_larger_than_the_default_is_asked_about_too(edge, path):
    assert edge.ask("POST", "app.test", path, b"x" * (5 << 20), **ANN).json["body"] == 5 << 20


def test_a_websocket_is_asked_about(edge, auth):
    with edge.websocket("app.test", "/", answer=302):
        pass
    with edge.handshake("app.test", edge.tls()) as tls:
        tls.sendall(
            b"GET / HTTP/1.1\r\nHost: app.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Cookie: session=ann\r\n\r\n"
        )
        assert tls.recv(12) == b"HTTP/1.1 101"
    assert "Upgrade" not in auth.asked[-1][1]


def test_a_stream_of_events_is_asked_about(edge):
    assert edge.get("app.test", "/api?stream=1", Accept="text/event-stream").status == 401
    assert edge.get("app.test", "/?stream=1", Accept="text/event-stream").status == 302
    with_session = edge.get("app.test", "/?stream=1", Accept="text/event-stream", **ANN)
    assert with_session.body == b"123456789\n"


def test_a_call_of_grpc_is_asked_about(edge, auth):
    trusted = (edge.folder / "certificate.pem").read_bytes()
    name = (("grpc.ssl_target_name_override", "app.test"),)
    with grpc.secure_channel(
        f"127.0.0.1:{edge.https}", grpc.ssl_channel_credentials(trusted), name
    ) as channel:
        say = channel.unary_unary("/echo.Echo/Say")
        count = channel.unary_stream("/echo.Echo/Count")
        join = channel.stream_unary("/echo.Echo/Join")
        session, pieces = (("cookie", "session=ann"),), [b"a" * 50_000, b"b" * 50_000]
        assert say(b"hello", timeout=60, metadata=session).endswith(b":hello")
        assert list(count(b"3", timeout=60, metadata=session)) == [b"1", b"2", b"3"]
        assert join(iter(pieces), timeout=60, metadata=session) == b"".join(pieces)
        path, headers = auth.asked[-1]
        assert (path, headers["X-Forwarded-Uri"]) == ("/oauth2/auth", "/echo.Echo/Join")
        for denied in (
            lambda: say(b"hello", timeout=60),
            lambda: list(count(b"3", timeout=60)),
            lambda: join(iter([b"short"]), timeout=60),
        ):
            with pytest.raises(grpc.RpcError) as found:
                denied()
            # Of a request that has not come whole nginx resets the rest (RFC 9113 8.1), which is
            # no error: code 0. The client may see that before the answer and names it otherwise.
            is_reset = "RST_STREAM with error code 0" in str(found.value.details())
            assert found.value.code() is grpc.StatusCode.UNAUTHENTICATED or is_reset


def test_a_browser_may_ask_without_a_session_whether_it_may_ask(edge):
    preflight = {"Origin": "https://b.test", "Access_Control_Request_Method": "PUT"}
    assert edge.ask("OPTIONS", "app.test", "/api", **preflight).status == 200
    assert edge.ask("OPTIONS", "app.test", "/api", Origin="https://b.test").status == 401
    assert edge.get("app.test", "/api", **preflight).status == 401


def test_basic_auth_and_auth_must_both_agree_or_one_is_enough(edge):
    bob = basic("bob")
    asked = edge.get("app.test", "/both", **ANN)
    assert (asked.status, asked.headers["WWW-Authenticate"]) == (401, 'Basic realm="restricted"')
    assert edge.get("app.test", "/both", **bob).status == 302
    assert edge.get("app.test", "/both", **bob, **ANN).status == 200
    assert edge.get("app.test", "/either", **bob).status == 200
    assert edge.get("app.test", "/either", **ANN).status == 200
    assert edge.get("app.test", "/either").status in {302, 401}
    assert edge.get("app.test", "/near").status == 200


def test_what_is_for_others_stays_open(edge):
    assert edge.plain("app.test", "/").status == 308
    edge.wait_for_token("token")
    challenge = edge.plain("plain.test", "/.well-known/acme-challenge/token")
    assert (challenge.status, challenge.body) == (200, b"token.thumb")
    assert edge.plain("plain.test", "/.well-known/other").status == 401
    challenge = edge.plain("files.test", "/.well-known/acme-challenge/certbot")
    assert (challenge.status, challenge.body) == (200, b"certbot's")
    assert edge.plain("files.test", "/a.txt").status == 401
    assert edge.raw(b"GET /lb-health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_the_internal_paths_are_not_for_clients(edge):
    for site in ("app.test", "authelia.test"):
        server = edge.main.read_text().split(f"server_name {site};")[-1]
        places = re.findall(r"location = (/\.portico/auth/\S+)", server.split("server_name")[0])
        assert len(places) >= 2
        assert {edge.get(site, place, **ANN).status for place in places} == {404}


def test_authelia_redirects_a_browser_with_its_own_url(edge):
    page = {"Accept": "text/html"}
    refused = edge.get("authelia.test", "/a?b=c&d=e", **page)
    assert refused.status == 302
    url = quote(f"https://authelia.test:{edge.https}/a?b=c&d=e", safe="")
    assert refused.headers["Location"] == f"https://auth.test/?rd={url}&rm=GET"
    program = edge.get("authelia.test")
    assert program.status == 401
    assert program.headers["WWW-Authenticate"] == 'Basic realm="Authorization Required"'
    assert edge.get("authelia.test", "/forbidden", **page, **ANN).status == 403
    headers = edge.get("authelia.test", **ANN).json["headers"]
    assert (headers["Remote-User"], headers["Remote-Groups"]) == ("ann", "staff,admins")


def test_a_program_elsewhere_is_asked_by_its_url(edge, auth):
    assert edge.get("elsewhere.test", Remote_User="eve").status == 401
    assert auth.asked[-1][1]["Host"] == f"127.0.0.1:{auth.port}"
    assert "Remote-User" not in auth.asked[-1][1]
    answer = edge.get("elsewhere.test", Remote_User="eve", **ANN)
    assert answer.json["headers"]["Remote-User"] == "ann"


def test_the_program_is_told_what_a_trusted_proxy_says(edge, auth):
    said = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "public.test"}
    assert edge.plain("elsewhere.test", "/x", **said, **ANN).status == 200
    assert auth.asked[-1][1]["X-Original-URL"] == "https://public.test/x"


def test_the_page_of_an_error_is_shown_to_who_is_denied(edge):
    denied = edge.get("app.test", "/said/403", **ANN)
    assert (denied.status, denied.body) == (403, b"<h1>Not for you</h1>")
    denied = edge.get("elsewhere.test")
    assert (denied.status, denied.body) == (401, b"<h1>Sign in</h1>")
