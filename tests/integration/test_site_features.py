"""What a site is told in its table, proved by requests to the real nginx: the door of a site."""

from __future__ import annotations

import gzip
import json
import re
import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.edge import Edge, edge_with_backend
from tests.waiting import eventually

FILE = """
[apps.web]
command = "run"

[sites."app.test"]
app = "web"
aliases = ["www.app.test", "*.any.app.test"]
request_headers = {X-Given = '$$host $host ${request_method}s $5 "b" \\ ; {} #', Accept = ""}
hsts = {max_age = "1d", include_subdomains = true}

[sites."app.test".headers]
X-Frame-Options = "DENY"
X-Odd = '$5 "a" \\ ; {} ü #'
X-Site = "site"
X-Gone = ""
Set-Cookie = "ours=1"

[sites."app.test".routes]
"/other" = {headers = {x-site = "route"}}
"/small" = {client_max_body_size = "1k"}
"/unpacked" = {gzip = false}

[sites."both.test"]
app = "web"
redirect_http = false
hsts = true

[sites."plain.test"]
app = "web"
https = false

[sites."quiet.test"]
app = "web"
access_log = false

[sites."127.0.0.1"]
app = "web"
aliases = ["::1"]
"""


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with edge_with_backend(FILE) as edge:
        yield edge


def test_http_is_redirected_to_https_with_its_port_path_and_query(edge):
    answer = edge.plain("www.app.test", "/a%20b/?c=d")
    assert answer.status == 308
    assert answer.headers["Location"] == f"https://www.app.test:{edge.https}/a%20b/?c=d"


def test_plain_http_on_the_port_of_https_is_redirected_too(edge):
    request = f"GET /a?b HTTP/1.1\r\nHost: app.test:{edge.https}\r\nConnection: close\r\n\r\n"
    answer = edge.raw(request.encode(), port=edge.https)
    assert answer.startswith(b"HTTP/1.1 308 ")
    assert f"Location: https://app.test:{edge.https}/a?b\r\n".encode() in answer


def test_a_site_answers_under_all_its_names(edge):
    for name in ("app.test", "www.app.test", "x.any.app.test"):
        assert edge.get(name).status == 200


def test_a_site_without_https_and_one_with_both_answer_plain_requests(edge):
    assert edge.plain("plain.test").status == 200
    assert edge.plain("both.test").status == 200
    assert edge.get("both.test").status == 200


@pytest.mark.parametrize("name", ["unknown.test", "app.test.evil.test", "plain.test"])
def test_a_name_that_no_site_has_is_refused_in_the_handshake(edge, name):
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        edge.get(name)


def test_a_name_that_no_site_has_is_misdirected_over_plain_http(edge):
    assert edge.plain("unknown.test").status == 421
    assert edge.raw(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")


def test_a_connection_to_one_site_reaches_no_unknown_one(edge):
    assert edge.get("app.test", Host="unknown.test").status == 421


def test_a_site_for_an_address_answers_who_sends_no_name(edge):
    assert edge.get("127.0.0.1").status == 200
    assert edge.get("::1", Host=f"[::1]:{edge.https}").status == 200
    assert edge.get("127.0.0.1", Host="unknown.test").status == 421


def test_a_default_site_answers_every_name():
    with Edge('[sites."app.test"]\nredirect = "https://b.test"\ndefault = true\n') as edge:
        assert edge.plain("unknown.test").status == 308
        with edge.handshake("unknown.test", anybody()) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n")
            assert tls.recv(1000).startswith(b"HTTP/1.1 308 ")


def anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_tls_below_1_2_is_refused(edge):
    old = anybody()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError), edge.handshake("app.test", old):
        pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_http_2_is_offered_and_sessions_are_taken_up_again(edge, version):
    context = edge.tls()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    with edge.handshake("app.test", context) as tls:
        assert tls.selected_alpn_protocol() == "h2"
        tls.recv(1000)  # nginx's settings; a ticket of TLS 1.3 comes before them
        session = tls.session
    reused = 0
    for _ in range(6):  # either worker takes it up
        with (
            socket.create_connection(("127.0.0.1", edge.https), 60) as plain,
            context.wrap_socket(plain, server_hostname="app.test", session=session) as tls,
        ):
            reused += tls.session_reused
    assert reused == 6


def test_headers_are_on_every_answer_as_they_were_written(edge):
    for path in ("/", "/?status=500"):
        headers = edge.get("app.test", path).headers
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Odd"].encode("latin-1").decode() == '$5 "a" \\ ; {} ü #'
        assert headers["Strict-Transport-Security"] == "max-age=86400; includeSubDomains"
        assert headers.get_all("X-Site") == ["site"]
    refused = edge.ask("POST", "app.test", "/small", b"x" * 2000)
    assert refused.headers["X-Frame-Options"] == "DENY"


def test_a_route_replaces_a_header_of_its_site_and_keeps_the_others(edge):
    headers = edge.get("app.test", "/other").headers
    assert headers.get_all("X-Site") == ["route"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Strict-Transport-Security"]


@pytest.mark.parametrize("path", ["/", "/other"])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("X-Frame-Options", ["DENY"]),
        ("x-frame-options", ["DENY"]),
        ("X-Gone", None),
        ("Strict-Transport-Security", ["max-age=86400; includeSubDomains"]),
        ("Set-Cookie", ["theirs", "ours=1"]),
        ("X-Other", ["theirs"]),
    ],
)
def test_a_header_of_a_site_replaces_the_programs(edge, path, name, values):
    answer = edge.get("app.test", f"{path}?answer={name}:theirs")
    assert answer.headers.get_all(name) == values


def test_hsts_is_not_sent_over_plain_http(edge):
    assert edge.get("both.test").headers["Strict-Transport-Security"] == "max-age=31536000"
    assert edge.plain("both.test").headers["Strict-Transport-Security"] is None
    assert edge.plain("app.test").headers["Strict-Transport-Security"] is None


def test_request_headers_reach_the_app_as_they_were_written(edge):
    seen = edge.get("app.test", Accept="text/html").json["headers"]
    assert seen["X-Given"] == '$host app.test GETs $5 "b" \\ ; {} #'
    assert "Accept" not in seen


def test_a_body_above_the_limit_is_refused(edge):
    assert edge.ask("POST", "app.test", "/small", b"x" * 1024).json["body"] == 1024
    assert edge.ask("POST", "app.test", "/small", b"x" * 1025).status == 413
    assert edge.ask("POST", "app.test", "/", b"x" * 1025).json["body"] == 1025


def test_text_is_compressed_unless_a_route_says_no(edge):
    packed = edge.get("app.test", "/?size=5000", Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert json.loads(gzip.decompress(packed.body))["path"] == "/?size=5000"
    assert edge.get("app.test", "/?size=5000").headers["Content-Encoding"] is None
    plain = edge.get("app.test", "/unpacked?size=5000", Accept_Encoding="gzip")
    assert plain.headers["Content-Encoding"] is None


@pytest.mark.parametrize(
    ("asked", "passed"),
    [('W/"a b"', '"a b"'), ('"a"', '"a"'), ("*", "*"), ('"a", "b"', '"a", "b"'), (None, None)],
)
def test_the_tag_of_a_compressed_answer_still_matches(edge, asked, passed):
    answer = edge.get("app.test", "/?size=5000&answer=ETag:%22a%22", Accept_Encoding="gzip")
    assert answer.headers["ETag"] == 'W/"a"'
    headers = {"If_Match": asked} if asked else {}
    assert edge.get("app.test", **headers).json["headers"].get("If-Match") == passed


def test_the_access_log_of_a_site_is_json_and_a_second_late_at_most(edge):
    path = "/logged?a=%22b"
    answer = edge.get("app.test", path, User_Agent='a "quoted\\ agent', Referer="x")
    line = eventually(lambda: _logged(edge, "app.test", path))
    seen = answer.json["headers"]
    assert line["bytes_sent"] > line["bytes"]
    assert line | {
        "time": "",
        "request_time": 0,
        "upstream_response_time": "",
        "bytes_sent": 0,
        "request_length": 0,
    } == {
        "time": "",
        "remote_addr": "127.0.0.1",
        "method": "GET",
        "uri": path,
        "status": 200,
        "bytes": len(answer.body),
        "request_time": 0,
        "upstream_addr": f"127.0.0.1:{answer.json['port']}",
        "upstream_response_time": "",
        "upstream_status": "200",
        "upstream_cache_status": "",
        "host": "app.test",
        "user_agent": 'a "quoted\\ agent',
        "referer": "x",
        "request_id": seen["X-Request-ID"],
        "traceparent": seen["Traceparent"],
        "route": "",
        "bytes_sent": 0,
        "request_length": 0,
        "connection_requests": 1,
        "tls": "TLSv1.3",
    }
    assert not (edge.home / "logs" / "sites" / "quiet.test.access.log").exists()


def _logged(edge: Edge, site: str, path: str) -> dict[str, object] | None:
    lines = (json.loads(line) for line in edge.access_log(site).splitlines())
    return next((line for line in lines if line["uri"] == path), None)


def test_a_request_that_makes_no_sense_is_logged_as_json_too(edge):
    for nonsense in (b"GET /old\r\n", b"GET / HTTP/1.1\r\nHost: plain.test\r\nA\0: b\r\n\r\n"):
        edge.raw(nonsense)
    edge.raw(b"GET /closed?sleep=5 HTTP/1.1\r\nHost: plain.test\r\n\r\n", wait=False)
    eventually(lambda: _logged(edge, "plain.test", "/closed?sleep=5"))


def test_the_classic_form_of_an_access_log_is_there_on_request():
    with Edge(
        '[edge]\naccess_log_format = "combined"\n[sites."app.test"]\nredirect = "https://b.test"\n'
    ) as edge:
        edge.get("app.test", "/here")
        line = eventually(lambda: edge.access_log("app.test"))
    assert re.fullmatch(r'127\.0\.0\.1 - - \[.+\] "GET /here HTTP/1\.1" 308 \d+ "-" "-"\n', line)
