"""Public reports about proxies: load balancers in front, paths, streams, headers, refusals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.edge import Edge, edge_with_backend

FILE = """
[edge]
health_path = "/lb-health"

[apps.web]
command = "run"

[sites."app.test"]
app = "web"
headers = {Access-Control-Allow-Origin = "https://a.test"}
real_ip = {trust = ["127.0.0.1"]}

[sites."app.test".routes]
"/api" = {app = "web", strip_prefix = true}
"/limited" = {app = "web", rate_limit = "2r/m"}
"/staff" = {app = "web", basic_auth = {users = {ann = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}}}
"/spa" = {folder = {path = "spa", spa = true, expires = "30d"}}
"/patient" = {app = "web", proxy_read_timeout = "300ms"}
"""


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with edge_with_backend(FILE, {"spa/index.html": "page"}) as edge:
        yield edge


@pytest.mark.parametrize("proto", ["https", "https,http"])
def test_what_a_load_balancer_got_over_https_is_not_redirected(edge, proto):
    """https://github.com/nginx-proxy/nginx-proxy/issues/422 and
    https://github.com/sourcegraph/sourcegraph-public-snapshot/issues/73: a load balancer ends TLS,
    and every request is redirected to https; ERR_TOO_MANY_REDIRECTS. With two proxies the header
    has two words (https://github.com/ChuckJonas/next-ssl-redirect-middleware/issues/8).
    """
    assert edge.plain("app.test", X_Forwarded_Proto=proto).status == 200
    assert edge.plain("app.test", X_Forwarded_Proto="http").status == 308
    assert edge.plain("app.test").status == 308


@pytest.mark.parametrize("path", ["/queues/%2F/queue", "/v4/projects/a%2Fb", "/%2F/%2f/"])
def test_an_encoded_slash_reaches_the_program_as_it_was_sent(edge, path):
    """https://github.com/caddyserver/caddy/issues/643, https://github.com/caddyserver/caddy/issues/1927
    and https://github.com/ExpressGateway/express-gateway/issues/963: RabbitMQ and GitLab have
    names with slashes in their paths, and what took off the prefix decoded them.
    """
    assert edge.get("app.test", f"/api{path}").json["path"] == path
    assert edge.get("app.test", path).json["path"] == path


def test_events_arrive_without_a_setting(edge):
    """https://github.com/nginx/nginx/issues/1505, https://github.com/gin-gonic/gin/issues/1589:
    server-sent events came all together at the end.
    """
    with edge.handshake("app.test", edge.tls()) as tls:
        tls.sendall(
            b"GET /?stream=100 HTTP/1.1\r\nHost: app.test\r\nAccept: text/event-stream\r\n\r\n"
        )
        seen = b""
        while b"123456789\n" not in seen:  # the last one is sent 20 seconds later
            more = tls.recv(4096)
            assert more, "it ended without a line"
            seen += more
        assert seen.count(b"123456789\n") < 50


def test_a_websocket_outlives_a_minute_without_a_message(edge):
    """https://github.com/websockets/ws/issues/2283, https://github.com/mqttjs/MQTT.js/issues/1010:
    after 60 s of silence nginx closed the connection. Here the limit is 0.3 s, and is over when a
    request that was sent later has been given up.
    """
    with edge.websocket("app.test", "/patient") as socket:
        assert edge.get("app.test", "/patient?sleep=2").status == 504
        socket.sendall(b"\x81\x02hi")
        assert socket.recv(100) == b"\x81\x02hi"


def test_a_header_for_cors_comes_once(edge):
    """https://github.com/nginx-proxy/nginx-proxy/issues/1333,
    https://github.com/expressjs/cors/issues/145: the proxy and the program both sent it, and
    browsers refuse an answer with two.
    """
    answer = edge.get("app.test", "/?answer=Access-Control-Allow-Origin:*")
    assert answer.headers.get_all("Access-Control-Allow-Origin") == ["https://a.test"]


def test_who_is_refused_is_told_when_to_come_again(edge):
    """https://github.com/digitalocean/nginxconfig.io/issues/377: 429 without Retry-After."""
    first, second = edge.get("app.test", "/limited"), edge.get("app.test", "/limited")
    assert (first.status, first.headers["Retry-After"]) == (200, None)
    assert (second.status, second.headers["Retry-After"]) == (429, "30")


def test_a_preflight_has_no_password(edge):
    """https://github.com/nginx-proxy/nginx-proxy/pull/1176,
    https://github.com/haproxytech/kubernetes-ingress/issues/804,
    https://github.com/caddyserver/caddy/issues/1568: it was answered 401.
    """
    asks = {"Origin": "https://a.test", "Access_Control_Request_Method": "PUT"}
    assert edge.ask("OPTIONS", "app.test", "/staff", **asks).status == 200
    assert edge.ask("PUT", "app.test", "/staff", **asks).status == 401
    assert edge.ask("OPTIONS", "app.test", "/staff").status == 401


def test_the_server_header_comes_once(edge):
    """https://github.com/caddyserver/caddy/issues/6275 and
    https://github.com/caddyserver/caddy/issues/417: one of the proxy and one of the program.
    """
    assert edge.get("app.test", "/").headers.get_all("Server") == ["nginx"]


def test_a_head_of_kilobytes_is_passed_on(edge):
    """https://github.com/NginxProxyManager/nginx-proxy-manager/issues/4681: upstream sent too big
    header while reading response header from upstream.
    """
    assert edge.get("app.test", "/?header=12000").status == 200
